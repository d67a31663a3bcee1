from collections.abc import Mapping
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.dialects.base import CONNECT_TIMEOUT, Timeouts
from adapters.sql.dialects.postgresql.hosts import Hosts
from adapters.sql.dialects.postgresql.stale_connections import StaleConnectionDetector
from adapters.sql.revisions import newest

# Seconds that a transaction may be idle. Our transactions wait only for the database, so the process of an idle one is
# frozen or disconnected. Its locks would block all others. One whose statements may take long, as a migration's, is
# also given time between them: on a machine that is overloaded, it has much to do there.
_IDLE_TIMEOUT: Final = 5.0
_LONG_IDLE_TIMEOUT: Final = 60.0
_LONG_STATEMENT: Final = 60.0
# What the statements are written for. A database or a user may have other defaults. Under SERIALIZABLE, for one, those
# who buy the same product at once would fail instead of waiting for each other.
_WRITTEN_FOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "default_transaction_isolation": "read committed",
        "standard_conforming_strings": "on",
        "array_nulls": "on",
        "transform_null_equals": "off",
        "extra_float_digits": "1",
    }
)
# The key in a pooled connection's `info` for the time when it was opened.
_OPENED_AT: Final = "holdfast_opened_at"
# The options of a URL, as libpq names them; `ssl` is the driver's own name of `sslmode`.
_OPTIONS: Final = (
    "host",
    "sslmode",
    "ssl",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "target_session_attrs",
    "application_name",
)
# Bytes of a name that the server keeps.
_LONGEST_NAME: Final = 63
# SQLAlchemy's name of the argument for the function that connects.
_CREATOR: Final = "async_creator_fn"


@frozen
class PostgresConnections:
    one_writer = False
    # After a cancellation, the server rolls back.
    outlive_a_cancellation = False

    def address(self, url: URL, timeouts: Timeouts) -> tuple[URL, dict[str, Any]]:
        if unknown := url.query.keys() - set(_OPTIONS):
            raise ValueError(
                f"a PostgreSQL URL has the options {', '.join(_OPTIONS[:-1])} and {_OPTIONS[-1]}, not"
                f" {', '.join(sorted(unknown))}"
            )
        connect = {
            _CREATOR: Hosts.of(url),
            "timeout": CONNECT_TIMEOUT,
            # The server's own timeout comes first. This one is for a server that does not reply at all.
            "command_timeout": timeouts.statement + 1.0,
            "server_settings": _server_settings(_session_name(url), timeouts),
        }
        return url.set(drivername="postgresql+asyncpg", query={}), connect

    def prepare(self, engine: AsyncEngine, connect: Mapping[str, Any]) -> StaleConnectionDetector:
        _, address = engine.dialect.create_connect_args(engine.url)
        options = {**address, **connect}
        hosts: Hosts = options.pop(_CREATOR)
        detector = StaleConnectionDetector(partial(hosts, **options), hosts.process_of)

        @event.listens_for(engine.sync_engine, "connect")
        def remember(_connection: Any, record: Any) -> None:
            record.info[_OPENED_AT] = monotonic()

        # A server that restarts closes its connections, and the event loop has usually noticed that before a connection
        # is taken from the pool. So no ping is needed to find closed connections. `TransactionBlock` handles the rest.
        @event.listens_for(engine.sync_engine, "checkout")
        def refuse_closed(connection: Any, record: Any, _proxy: Any) -> None:
            if detector.is_in_doubt(record.info[_OPENED_AT]):
                # A normal close would wait for the server.
                connection.driver_connection.terminate()
            if connection.driver_connection.is_closed():
                raise DisconnectionError("the connection is closed")

        return detector

    def server_name(self, url: URL) -> str:
        where = ", ".join(str(host) for host in Hosts.of(url).hosts)
        return f"PostgreSQL at {where}, database {url.database or url.username}"


def _session_name(url: URL) -> str:
    """Return a name that ends with our revision, by which a migration knows which releases are at work."""
    revision = f"/{newest()}"
    given = str(url.query.get("application_name", "holdfast")).encode()
    # The server would cut off the end.
    return given[: _LONGEST_NAME - len(revision)].decode(errors="ignore") + revision


def _server_settings(application: str, timeouts: Timeouts) -> dict[str, str]:
    """Return the settings that a new connection sends to the server."""
    idle = _IDLE_TIMEOUT if timeouts.statement < _LONG_STATEMENT else _LONG_IDLE_TIMEOUT
    return {
        "application_name": application,
        "statement_timeout": _milliseconds(timeouts.statement),
        "lock_timeout": _milliseconds(timeouts.lock),
        "idle_in_transaction_session_timeout": _milliseconds(idle),
        # The statements are short: compiling one takes longer than running it.
        "jit": "off",
        # A connection that planned a statement while a table was new keeps that plan until the table's statistics
        # change: for a minute, in which many orders arrive. Every statement has an index.
        "enable_seqscan": "off",
        **_WRITTEN_FOR,
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
