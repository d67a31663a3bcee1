"""Engines of tests, which are closed also when the test fails.

The garbage collector finds a connection that a failed test has left open, and fails a later test for it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import create_engine


@asynccontextmanager
async def engine_on(url: str | URL, **options: Any) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        await engine.dispose()
