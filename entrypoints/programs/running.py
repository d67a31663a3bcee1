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

# A program, which finishes in a bounded time after the stop.
Program = Callable[[Stop], Coroutine[Any, Any, None]]


class CutOff(CannotGoOn):
    """A program did not finish its work within the graceful-close timeout."""


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# Seconds that a cancelled program has to close its connections.
_FORCED_CLOSE_TIMEOUT: Final = 2.0


async def run_until_signalled(program: Program, *, graceful_timeout: timedelta) -> None:
    """Run a program until SIGINT or SIGTERM, let it finish its work, and end it after the graceful-close timeout.

    A second signal ends the process at once. A program that ignores its cancellation is ended two seconds later. Raise
    what the program raises, and `CutOff`.
    """
    stop = Stop()
    running = asyncio.create_task(program(stop))
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            # The system's default handler works even if the event loop hangs. A kill is safe at any moment.
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
    raise CutOff("stopped before all work was finished; nothing is lost, the next start continues it")


def _end_process_after(seconds: float) -> None:
    """End the process from a thread, even if a task ignores its cancellation or the event loop hangs."""

    def end() -> None:
        structlog.get_logger("holdfast").error("process ended by force: its work did not stop in time")
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
