"""Engines of tests, which are closed also when the test fails.

The garbage collector finds a connection that a failed test has left open, and fails a later test for it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import create_engine
from tests.servers.process import SLOWEST


@asynccontextmanager
async def engine_on(url: str | URL, **options: Any) -> AsyncGenerator[AsyncEngine, None]:
    engine = patient_engine(url, **options)
    try:
        yield engine
    finally:
        await engine.dispose()


def patient_engine(url: str | URL, **options: Any) -> AsyncEngine:
    """As `create_engine`, but a server on a busy machine has the time that it needs to begin a session."""
    engine = create_engine(url, **options)
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine.sync_engine, "do_connect")
        def wait(_dialect: Any, _record: Any, _arguments: Any, connect: dict[str, Any]) -> None:
            connect["timeout"] = 30.0 * SLOWEST

    return engine
