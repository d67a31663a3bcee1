"""API, relay and worker in one process."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Final

import structlog

from adapters.sql.schema import schema_problem
from application.access.principal import the_system
from entrypoints.alive import RELAY, WORKER
from entrypoints.broker import queues_declared
from entrypoints.connections import only_one, open_container
from entrypoints.container import Container
from entrypoints.demo import CATALOGUE
from entrypoints.heartbeat import heard_of
from entrypoints.loops import Stop
from entrypoints.own_ledger import expect_own_ledger
from entrypoints.processes.folder import MAIN, Folder
from entrypoints.programs.api import OnStarted, serve_http
from entrypoints.programs.metrics import database_sampled, metrics_served
from entrypoints.programs.relay import relay
from entrypoints.programs.starting import expect_provider, tell_of_servers
from entrypoints.programs.worker import republish_what_was_lost, worker_of
from entrypoints.schema import demand_lineage
from entrypoints.settings import Settings

_log: Final = structlog.get_logger("holdfast.database")


async def run_up(settings: Settings, stop: Stop, *, on_started: OnStarted) -> None:
    """Run everything, on SQLite or on the servers that the settings name."""
    async with AsyncExitStack() as stack:
        stack.enter_context(only_one(settings))
        folder = Folder(settings.data)
        folder.forget_all()
        folder.write_pid(MAIN, os.getpid())
        stack.callback(folder.forget_pid, MAIN)
        container = await stack.enter_async_context(open_container(settings, new=True, program="up"))
        await stack.enter_async_context(queues_declared(settings))
        await expect_provider(container)
        await _make_tables(container)
        await demand_lineage(container)
        await expect_own_ledger(container, claim=True)
        await tell_of_servers(container)
        await stack.enter_async_context(metrics_served(container, "up"))
        await stack.enter_async_context(database_sampled(container))
        use_cases = container.use_cases()
        if not settings.database_url:
            await use_cases.add_products(the_system("holdfast up"), CATALOGUE)
        if not settings.amqp_url:
            await republish_what_was_lost(use_cases)
        # The API stops first, so that the relay and the worker can process what it has accepted.
        stop_working, calls = Stop(), container.provider_calls()
        async with (
            heard_of(container.heartbeats(), WORKER, RELAY, last=container.last_heartbeat(), calls=calls),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay(use_cases, container.outbox_signal(), stop_working))
            tasks.create_task(worker_of(container).run(stop_working))
            tasks.create_task(_then(stop_working, serve_http(container, stop, on_started=on_started)))


async def _then(event: asyncio.Event, work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        event.set()


async def _make_tables(container: Container) -> None:
    if await schema_problem(container.engine()) is not None:
        # Importing Alembic takes half a second, which a start without migrations should not spend.
        from adapters.sql.migrate import OlderSessions, migrate  # noqa: PLC0415

        try:
            await migrate(container.engine())
        except OlderSessions as error:
            # This release works beside them, and what they need may stay for as long as they do.
            _log.warning("the migration is not finished", reason=str(error))
