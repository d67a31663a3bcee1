from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from attrs import frozen
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.dialects.base import CONNECT_TIMEOUT, Timeouts
from adapters.sql.dialects.postgresql.stale_connections import StaleConnectionDetector

# Seconds that a transaction may do nothing. None of ours waits for anything but the database, so that its process must
# be frozen or cut off, and what it has locked would be kept from everybody.
_IDLE_TIMEOUT: Final = 5.0
# Of a connection in the pool: when it was opened.
_OPENED_AT: Final = "holdfast_opened_at"


@frozen
class PostgresConnections:
    one_writer = False
    # The server rolls back.
    outlive_a_cancellation = False

    def address(self, url: URL, timeouts: Timeouts) -> tuple[URL, dict[str, Any]]:
        options = {name: str(value) for name, value in url.query.items()}
        application = options.pop("application_name", "holdfast")
        ssl = options.pop("sslmode", options.pop("ssl", None))
        if options:
            raise ValueError(f"a PostgreSQL URL has the options sslmode and application_name, not {', '.join(options)}")
        connect = {
            "timeout": CONNECT_TIMEOUT,
            # The server is asked to give up first; this is for one that doesn't answer at all.
            "command_timeout": timeouts.statement + 1.0,
            "server_settings": _server_settings(application, timeouts),
        }
        return url.set(drivername="postgresql+asyncpg", query={} if ssl is None else {"ssl": ssl}), connect

    def prepare(self, engine: AsyncEngine, connect: Mapping[str, Any]) -> StaleConnectionDetector:
        _, address = engine.dialect.create_connect_args(engine.url)
        detector = StaleConnectionDetector(lambda: asyncpg.connect(**address, **connect))

        @event.listens_for(engine.sync_engine, "connect")
        def remember(_connection: Any, record: Any) -> None:
            record.info[_OPENED_AT] = monotonic()

        # A restarted server closes its connections, and the event loop has seen that by the time one is taken from the
        # pool. So this finds them without the round trip of a ping. What it can't find yet, `TransactionBlock` does.
        @event.listens_for(engine.sync_engine, "checkout")
        def refuse_closed(connection: Any, record: Any, _proxy: Any) -> None:
            if detector.is_in_doubt(record.info[_OPENED_AT]):
                # Without a farewell, for which SQLAlchemy would wait.
                connection.driver_connection.terminate()
            if connection.driver_connection.is_closed():
                raise DisconnectionError("the connection is closed")

        return detector

    def server_name(self, url: URL) -> str:
        where = f"{url.host or 'the default socket'}:{url.port or 5432}"
        return f"PostgreSQL at {where}, database {url.database or url.username}"


def _server_settings(application: str, timeouts: Timeouts) -> dict[str, str]:
    """What the server is told when a connection is opened."""
    return {
        "application_name": application,
        "statement_timeout": _milliseconds(timeouts.statement),
        "lock_timeout": _milliseconds(timeouts.lock),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_TIMEOUT),
        # Statements here are short: to compile one takes longer than to run it.
        "jit": "off",
        # What a connection has planned while a table was new it goes on doing for as long as the table's statistics
        # stay as they were: for a minute, in which many orders come. There is an index for everything.
        "enable_seqscan": "off",
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
