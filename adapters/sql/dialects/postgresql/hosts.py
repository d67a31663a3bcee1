"""The hosts of one database: the members of a cluster, of which one takes writes at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import asyncpg  # type: ignore[import-untyped]
from attrs import define, field, frozen
from sqlalchemy import URL

from adapters.sql.dialects.postgresql.driver import Asyncpg
from adapters.sql.dialects.postgresql.errors import is_known
from application.execution.racing import first_to_succeed

# Seconds after which the next host is tried beside the one before, whose packets may be dropped.
_HEAD_START: Final = 0.2
_PORT: Final = 5432
# The options that the driver only takes from a URL.
_OF_TLS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")
# Classes of SQLSTATE that say nothing of the other hosts: the connection was lost, or the server starts or shuts down.
_GONE: Final = ("08", "57")
# Seconds for a second connection behind a pooler, once.
_TO_COMPARE: Final = 1.0
# PgBouncer says this of every setting that it does not know, where it is not told to ignore it.
_REFUSED_SETTING: Final = "unsupported startup parameter"
_APPLICATION_NAME: Final = "application_name"

# A number of a process is one of a server only, and is given again. No two servers start in the same microsecond.
_WHO: Final = (
    "SELECT pg_postmaster_start_time() AS server, pid, backend_start AS since"
    " FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)
_SET: Final = "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS given (name, value)"


@frozen
class ServerProcess:
    """The process of a server at the other end of a connection, among all processes of all servers."""

    server: datetime
    pid: int
    since: datetime
    # A pooler is in between, such as PgBouncer. It may serve each transaction by another process.
    is_pooled: bool


@frozen
class Host:
    """A host name, an address, or the folder of a Unix socket. None: where the driver looks by itself."""

    name: str | None
    # Always set. Otherwise the driver would look at PGPORT, and messages would name another server.
    port: int

    @classmethod
    def of(cls, written: str) -> "Host":
        name, colon, port = written.rpartition(":")
        if not (colon and port.isdecimal()) or (":" in name and not name.startswith(("/", "["))):
            name, port = written, ""
        return cls(name.strip("[]"), int(port or _PORT))

    def __str__(self) -> str:
        return f"{self.name or 'the default socket'}:{self.port}"


class NoHost(ConnectionError):
    """No host of the database can be used now. The message names each, and why."""


@define(eq=False)
class Hosts:
    """Connects to the host that takes writes, and remembers it.

    The hosts are raced: a host whose packets are dropped must not use up the time for a connection.
    """

    hosts: Sequence[Host]
    # The options of TLS, as libpq names them.
    _tls: Mapping[str, str]
    # Whether a host that takes no writes is passed over.
    _must_take_writes: bool
    _last: int = field(default=0, init=False)
    # The hosts that refuse settings when a connection begins.
    _refusing: set[int] = field(factory=set, init=False)
    # Those where a pooler is in between that was found to keep sessions apart.
    _kept_apart: set[int] = field(factory=set, init=False)
    _processes: MutableMapping[Any, ServerProcess] = field(factory=WeakKeyDictionary, init=False)

    @classmethod
    def of(cls, url: URL) -> "Hosts":
        named = url.query.get("host", ())
        hosts = tuple(Host.of(each) for each in ([named] if isinstance(named, str) else named))
        options = {name: str(value) for name, value in url.query.items()}
        if "ssl" in options:
            options.setdefault("sslmode", options["ssl"])
        return cls(
            hosts or (Host(url.host, url.port or _PORT),),
            {name: options[name] for name in _OF_TLS if name in options},
            len(hosts) > 1 or "target_session_attrs" in options,
        )

    def process_of(self, connection: Any) -> ServerProcess:
        """The process at the other end of a connection that was made here."""
        return self._processes[connection]

    async def __call__(self, **options: Any) -> Any:
        """Connect. Raise an error of the driver or `OSError`. With several hosts, that is `NoHost` or a refusal."""
        options |= {"dsn": f"postgresql://?{urlencode(self._tls)}"} if self._tls else {}
        order = sorted(range(len(self.hosts)), key=lambda place: place != self._last)
        if len(order) == 1:
            return await self._connect_to(0, options)
        try:
            connection, self._last = await first_to_succeed(
                [partial(self._try, place, options) for place in order], head_start=_HEAD_START, discard=_discard
            )
        except ExceptionGroup as group:
            # A host that was found and refuses is the answer: it is no use to look elsewhere.
            refusal = next((error for error in group.exceptions if not isinstance(error, NoHost)), None)
            raise (refusal or NoHost("; ".join(map(str, group.exceptions)))) from None
        return connection

    async def _try(self, place: int, options: Mapping[str, Any]) -> tuple[Any, int]:
        """Raise `NoHost`, or a refusal of the driver's. Each names the host."""
        host = self.hosts[place]
        try:
            return await self._connect_to(place, options), place
        except TimeoutError:
            raise NoHost(f"{host} did not answer in time") from None
        except NoHost:
            raise
        except (OSError, *Asyncpg.errors) as error:
            if not _is_refusal(error):
                raise NoHost(f"{host}: {error}") from error
            # The driver says neither which host it was, nor does it have an attribute for that.
            error.args = (f"{host}: {error.args[0]}", *error.args[1:])
            raise

    async def _connect_to(self, place: int, options: Mapping[str, Any]) -> Any:
        host = self.hosts[place]
        where = {} if host.name is None else {"host": host.name}
        wanted: dict[str, Any] = {"target_session_attrs": "read-write"} if self._must_take_writes else {}
        settings = options.get("server_settings", {})
        if was_refused := place in self._refusing:
            known = {name: value for name, value in settings.items() if name == _APPLICATION_NAME}
            wanted["server_settings"] = known
        connect = partial(asyncpg.connect, **{**options, "port": host.port, **where, **wanted})
        try:
            connection = await connect()
        except asyncpg.TargetServerAttributeNotMatched:
            raise NoHost(f"{host} takes no writes: it is a standby, or read-only") from None
        except asyncpg.ProtocolViolationError as error:
            if was_refused or _REFUSED_SETTING not in str(error):
                raise
            self._refusing.add(place)
            return await self._connect_to(place, options)
        except asyncpg.PostgresError as error:
            if is_known(error.sqlstate):
                raise
            # No statement of ours can be the cause: the server can't begin a session, as with a full disk.
            raise ConnectionError(f"it begins no session: {error}") from error
        except (OSError, TimeoutError, *Asyncpg.errors):
            raise
        except Exception as error:
            # The driver also reads variables such as PGUSER and files such as ~/.pgpass. Its own code fails over what
            # it can't read there.
            raise asyncpg.ClientConfigurationError(f"{type(error).__name__}: {error}") from error
        try:
            process = self._processes[connection] = await _greet(connection, settings, options["timeout"])
            await self._expect_own_session(place, process, connection, connect)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _expect_own_session(
        self, place: int, process: ServerProcess, connection: Any, connect: Callable[[], Awaitable[Any]]
    ) -> None:
        """Compare the first connection behind a pooler with a second one. Raise an error of the driver."""
        if process.is_pooled and place not in self._kept_apart:
            await _expect_apart(connection, connect)
            self._kept_apart.add(place)


def _is_refusal(error: BaseException) -> bool:
    """Whether the host refuses the user or the database, or the driver what it was given."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate is not None and not error.sqlstate.startswith(_GONE)
    return isinstance(error, asyncpg.ClientConfigurationError)


async def _greet(connection: Any, settings: Mapping[str, str], seconds: float) -> ServerProcess:
    """Ask which process is at the other end. Give the settings again if they may not have reached it."""
    who = await connection.fetchrow(_WHO, timeout=seconds)
    is_pooled = who["pid"] != connection.get_server_pid()
    if is_pooled:
        # A pooler refuses settings, or ignores them and says nothing. Without them, statements and locks would have no
        # time limit.
        await connection.execute(_SET, list(settings), list(settings.values()), timeout=seconds)
    return ServerProcess(who["server"], who["pid"], who["since"], is_pooled)


async def _expect_apart(connection: Any, connect: Callable[[], Awaitable[Any]]) -> None:
    """Raise an error of the driver if a second connection has the session of this one, or this one another by now.

    A pooler of transactions gives each statement any session that is free. It shows nothing of that if it keeps
    statements apart that were prepared (`max_prepared_statements`). Settings and locks would be those of somebody else.
    """
    try:
        async with asyncio.timeout(_TO_COMPARE):
            other = await connect()
    except (OSError, *Asyncpg.errors):
        # The pooler, or the server, takes no second one: this one works all the same.
        return
    try:
        async with asyncio.timeout(_TO_COMPARE):
            seen = [{tuple(await each.fetchrow(_WHO)) for _ in range(2)} for each in (connection, other, connection)]
    except TimeoutError:
        # A pooler of sessions may have none left for the second one.
        return
    finally:
        other.terminate()
    if len(seen[0] | seen[2]) > 1 or len(seen[1]) > 1 or seen[0] == seen[1]:
        raise asyncpg.InvalidSQLStatementNameError("two connections were found in one session")


async def _discard(found: tuple[Any, int]) -> None:
    found[0].terminate()
