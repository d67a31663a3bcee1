"""How a long-running program runs, and how it stops."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

import structlog

from entrypoints.errors import CannotGoOn
from entrypoints.loops import Stop

# What is told to stop, and then has a bounded time to finish.
Program = Callable[[Stop], Coroutine[Any, Any, None]]


class CutOff(CannotGoOn):
    """A program was told to stop, and had not finished in its time what it had begun."""


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# Seconds that a program which is ended has for its farewells.
_FORCED_CLOSE_TIMEOUT: Final = 2.0


async def run_until_signalled(program: Program, *, graceful_timeout: timedelta) -> None:
    """Run a program until SIGINT or SIGTERM, let it finish what it has begun, and end it when that takes too long.

    A second signal ends the process at once; a program that doesn't even let itself be ended has two seconds more.
    Raise what the program raises, and `CutOff`.
    """
    stop = Stop()
    running = asyncio.create_task(program(stop))
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            # By the system, which needs no event loop that still turns. To be killed is safe at any moment.
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    _end_process_after(graceful_timeout.total_seconds() + _FORCED_CLOSE_TIMEOUT)
    await asyncio.wait({running}, timeout=graceful_timeout.total_seconds())
    stopping.cancel()
    if running.done():
        running.result()
        return
    running.cancel()
    await asyncio.wait({running}, timeout=_FORCED_CLOSE_TIMEOUT / 2)
    raise CutOff("stopped before everything was finished; it goes on at the next start")


def _end_process_after(seconds: float) -> None:
    """From a thread, so that neither a task that refuses to end nor an event loop that hangs is waited for."""

    def end() -> None:
        structlog.get_logger("holdfast").error("ended by force: something refused to stop")
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
