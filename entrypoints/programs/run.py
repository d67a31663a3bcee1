"""The long-running programs: each opens what it needs, works until it is told to stop, and closes it again."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

import structlog

from adapters.sql.schema import schema_problem
from application.errors import Unavailable
from entrypoints.connections import NotReady, only_one, open_broker, open_container
from entrypoints.container import Container
from entrypoints.demo import CATALOGUE
from entrypoints.http.app import create_app
from entrypoints.http.server.server import serve
from entrypoints.loops import Stop
from entrypoints.programs.prices import prices_known
from entrypoints.programs.relay import run_relay
from entrypoints.settings import Settings

# What is told to stop, and then has a bounded time to finish.
Program = Callable[[Stop], Coroutine[Any, Any, None]]
OnStarted = Callable[[str], None]

# Seconds. A worker lets go of an order much sooner, unless it is frozen or cut off; and whoever asks for such an order
# keeps all others waiting that are in the same batch.
_LOCK_TIMEOUT: Final = 0.25


class CutOff(Exception):
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


async def run_up(settings: Settings, stop: Stop, *, on_started: OnStarted) -> None:
    """API, relay and worker in one process, on whatever the settings name."""
    async with AsyncExitStack() as stack:
        if not settings.database_url:
            stack.enter_context(only_one(settings))
        container = await stack.enter_async_context(open_container(settings))
        await stack.enter_async_context(open_broker(container, publishing=True, consuming=True))
        await _make_tables(container)
        await _tell_of_servers(container)
        if not settings.database_url:
            await container.add_products()(CATALOGUE, made_by="holdfast up")
        if not settings.amqp_url:
            # A broker in this process is empty at the start: what it held when the last one ended is announced again.
            await container.republish_requests()(idle=timedelta(0))
        # The intake stops first; what it has taken in until then still finds a relay and a worker.
        stop_working = Stop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_relay(container.relay_events(), container.signal(), stop_working))
            tasks.create_task(container.worker().run(stop_working))
            tasks.create_task(_then(stop_working, _run_intake(container, stop, on_started=on_started)))


async def run_api(settings: Settings, stop: Stop, *, on_started: OnStarted) -> None:
    async with AsyncExitStack() as stack:
        container = await stack.enter_async_context(open_container(settings, lock_timeout=_LOCK_TIMEOUT))
        if settings.intake != "direct":
            await stack.enter_async_context(open_broker(container, publishing=True, consuming=False))
        await _tell_of_servers(container)
        await _expect_schema(container)
        await _run_intake(container, stop, on_started=on_started)


async def run_worker(settings: Settings, stop: Stop) -> None:
    async with open_container(settings) as container, open_broker(container, publishing=False, consuming=True):
        await _tell_of_servers(container)
        await _expect_schema(container)
        await container.worker().run(stop)


async def run_relay_alone(settings: Settings, stop: Stop) -> None:
    async with open_container(settings) as container, open_broker(container, publishing=True, consuming=False):
        await _tell_of_servers(container)
        await _expect_schema(container)
        await run_relay(container.relay_events(), container.signal(), stop)


async def _run_intake(container: Container, stop: Stop, *, on_started: OnStarted) -> None:
    settings = container.settings()
    app = create_app(
        container.services(),
        request_timeout=settings.request_timeout.total_seconds(),
        max_body=settings.max_body,
    )
    async with AsyncExitStack() as stack:
        if settings.intake != "direct":
            await stack.enter_async_context(prices_known(container.refresh_prices()))
        await serve(
            app,
            host=settings.host,
            port=settings.port,
            shutdown_timeout=settings.shutdown_timeout.total_seconds() * 0.8,
            on_started=on_started,
            stop=stop,
        )
        # A client that hung up leaves a call behind that is still being worked on.
        for use_case in container.batched():
            await use_case.drained()


async def _then(event: asyncio.Event, work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        event.set()


async def _tell_of_servers(container: Container) -> None:
    log = structlog.get_logger("holdfast")
    for server in await container.check_health()():
        if server.works:
            log.info("server works", server=server.name, version=server.version)
        else:
            log.warning("server does not work", server=server.name, problem=server.problem)


async def _make_tables(container: Container) -> None:
    if await schema_problem(container.engine()) is not None:
        # Alembic takes half a second to be imported, which a start without anything to do should not wait for.
        from adapters.sql.migrate import migrate  # noqa: PLC0415

        await migrate(container.engine())


async def _expect_schema(container: Container) -> None:
    """Refuse to run on tables of another release; a database out of reach is waited for."""
    try:
        problem = await schema_problem(container.engine())
    except Unavailable:
        return
    if problem is not None:
        raise NotReady(problem)
