"""What a database does in its own way. All that the statements of `adapters/sql` know of a database stands here.

A new database is a folder beside this file, with one `SqlDialect` in it, and its line in `registry.py`. A database
without partial indexes also needs its options in `tables/`: the conditions of the two unique ones are rules.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, Protocol

from attrs import frozen
from sqlalchemy import URL, Column, Delete, Executable, FromClause, Insert, Select, Table, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from application.ports.messaging import OutboxSignal

# Seconds that opening a connection may take.
CONNECT_TIMEOUT: Final = 3.0
# An execution option of a connection that only reads through SQLAlchemy: it then does not wait for a writer.
READING: Final = "holdfast_reading"


@frozen(kw_only=True)
class Timeouts:
    """In seconds: how long a statement may take, and how long it may wait for rows that are locked."""

    statement: float
    lock: float


@frozen(kw_only=True)
class UniqueKey:
    """A primary key or a unique index: its name, its table and its columns."""

    name: str
    table: str
    columns: tuple[str, ...]
    is_primary: bool


class Watch(Protocol):
    """Detects connections on which no reply will arrive, so that no caller waits for one for long."""

    async def watched(self, connection: Any, answer: Awaitable[Any]) -> Any:
        """Await the answer. Raise the driver's error for a lost connection if no answer will arrive."""


class Connections(Protocol):
    """Opens connections, and sets them up."""

    @property
    def one_writer(self) -> bool:
        """Whether only one transaction at a time may write. The writers of this process then wait for their turn."""

    @property
    def outlive_a_cancellation(self) -> bool:
        """Whether a cancelled statement goes on, and keeps its locks. It is then awaited, and must be short."""

    def address(self, url: URL, timeouts: Timeouts) -> tuple[URL, dict[str, Any]]:
        """Return the URL with the name of the driver, and the arguments with which the driver connects.

        The arguments must ensure that a commit is on the disk when it returns. They should make the server end a slow
        statement, a wait for a lock and an idle transaction by itself. Raise `ValueError`, without the password.
        """

    def prepare(self, engine: AsyncEngine, connect: Mapping[str, Any]) -> Watch | None:
        """Listen to the events of a new engine: set up new connections, and keep closed ones from leaving the pool.

        Return the watch of its connections, or None if a connection of this database can't become silent.
        """

    def server_name(self, url: URL) -> str:
        """Return the name of the server for messages: what it is and where, without user and password."""


class Compiled(Protocol):
    """A compiled statement for a driver."""

    @property
    def sql(self) -> str: ...

    @property
    def columns(self) -> tuple[Callable[[Any], Any], ...]:
        """For each column, the function that converts a value from the driver, if the driver does not."""

    @property
    def row(self) -> type[Any]:
        """The class that `Driver.row` made for the columns."""


class Driver(Protocol):
    """Sends statements over a raw connection of the driver, without SQLAlchemy."""

    @property
    def begin(self) -> str:
        """The command that begins a transaction that may write."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """All errors that the driver may raise, except those of the operating system."""

    def row(self, names: Sequence[str]) -> type[Any]:
        """Return a class for rows whose columns are attributes with these names."""

    def run(self, connection: Any, command: str) -> Awaitable[Any]:
        """Run `begin`, COMMIT or ROLLBACK. The end also releases locks that the database keeps beyond a transaction."""

    async def fetch(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> Sequence[Any]: ...

    async def change(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> int:
        """Return how many rows matched, including rows that already had the new values."""

    def is_closed(self, connection: Any) -> bool:
        """Return whether the connection is known to be closed."""

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether only the statement has failed, refused or never sent, and the connection is sound."""

    def cut(self, connection: Any) -> None:
        """Close the connection without waiting for the server."""

    def told(self, error: Exception, connection: Any) -> DBAPIError:
        """Return the error wrapped as by SQLAlchemy, with `connection_invalidated`, so that `Errors` can read it."""


class Errors(Protocol):
    """Interprets the errors of the database, which SQLAlchemy or `Driver.told` has wrapped."""

    def translated(self, error: DBAPIError, server: str) -> Exception | None:
        """Return `Unavailable` or `Aborted`, or None if neither applies. `broken_key` handles duplicate keys."""

    def broken_key(self, error: DBAPIError) -> str | None:
        """Return the database's name of the unique key that was violated, or None for any other error."""

    def name_of(self, key: UniqueKey) -> str:
        """Return the name that the database gives this key in its errors."""

    def ends_session(self, error: DBAPIError) -> bool:
        """Return whether the server has closed the connection with this error, and rolled back."""

    def leaves_commit_open(self, error: DBAPIError) -> bool:
        """Return whether a COMMIT with this error may have happened. Lost connections are handled elsewhere."""


class Rows(Protocol):
    """Passes any number of rows or values as parameters to a statement whose text is always the same."""

    def list_type(self, item: TypeEngine[Any]) -> TypeEngine[Any]:
        """Return the type of a list parameter: an array, or a JSON document (`documents.JsonList`)."""

    def new(self, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a table `new` with these columns. Its rows are in the order of the parameters."""

    def parameters(self, names: Sequence[str], columns: Sequence[list[Any]]) -> dict[str, Any]:
        """Return the parameters of `new`. `columns` has the values of each column."""

    def look_up(self, new: FromClause, matching: Select[Any]) -> Select[Any]:
        """Return the rows of `matching`, at most one for each row of `new`, each found by an index look-up."""


class Inserts(Protocol):
    """Builds inserts. If there are several statements, all get the same parameters; the result is that of the first."""

    def upsert(  # noqa: PLR0913 - a statement has so many parts
        self,
        table: Table,
        values: Mapping[str, ColumnElement[Any]],
        *,
        key: Sequence[Column[Any]],
        key_where: TextClause | None = None,
        changes: Callable[[Any], Mapping[str, Any]],
        where: Callable[[Any], ColumnElement[bool]],
    ) -> Executable:
        """Insert a row. If its key is taken, apply `changes` to the existing row if that meets the condition `where`.

        `changes` and `where` get the columns of the new row. In their expressions, the table's columns have the values
        from before the change, even if the database makes the assignments one by one. An unchanged row is not counted.
        """

    def missing(self, table: Table, new: FromClause, *, key: Sequence[Column[Any]]) -> Executable:
        """Insert the new rows, in the order of their keys, without those whose key is taken.

        A row that another transaction is inserting is waited for.
        """

    def into_all(
        self, new: FromClause, first: Table, others: Mapping[Table, Sequence[str]], *, also: Sequence[Insert] = ()
    ) -> Sequence[Executable]:
        """Insert the new rows into `first`, and into each other table those columns that it has with it.

        `also` are more inserts, which have nothing to do with the new rows.
        """


class Locks(Protocol):
    @property
    def try_each(self) -> Executable | None:
        """Try to lock each of the 64-bit `ids` until the transaction ends, without waiting. Select each locked `id`.

        None if the database allows only one writer anyway.
        """

    @property
    def wait_for(self) -> Executable | None:
        """Wait for the lock of the 64-bit `id`, and keep it until the transaction ends. None as above."""

    @property
    def writers(self) -> Executable | None:
        """Select `writers`: the names of all other open transactions that may have written to the table `table`.

        They are one text, with blanks between them. A transaction is among them before it takes a value of a sequence
        for a new row, and until after its commit can be seen. Select as well `last`, the last value of the sequence of
        the table's column `column`, or NULL if it is not known. None if the database allows only one writer anyway.
        """

    @property
    def migrating(self) -> Executable | None:
        """Try to lock migrations until the connection ends, without waiting. Select whether it is locked now.

        None as above.
        """

    def without_vacuum(self, tables: Sequence[str]) -> Sequence[str]:
        """Statements at the beginning of a migrator's transaction, after which no automatic vacuum is in its way.

        A server gives one up only for whoever waits for longer than a migrator may let others wait behind it.
        """


class Durability(Protocol):
    """Commits without waiting for the disk, if the database has that option for a single transaction."""

    def need_not_last(self, delete: Delete) -> Delete:
        """Return the statement, changed so that a crash may undo its transaction after the commit."""

    @property
    def must_last(self) -> Executable | None:
        """Undo `need_not_last` in this transaction, before a durable change. None if every commit is durable."""


class Expressions(Protocol):
    """Builds SQL expressions from the SQL of their operands."""

    def among(self, value: str, values: str) -> str:
        """Return the condition that a value is in a list of `Rows.list_type`. It must be able to use an index."""

    def json_rows(self, columns: str) -> str:
        """Return all rows of a group as the text of a JSON array of arrays, in any order."""

    def from_now(self, seconds: str) -> str:
        """Return the time so many seconds from now, not from the beginning of the transaction.

        It is the database's time: the clock of this process would be one more that may be wrong.
        """


class ClosableSignal(OutboxSignal, Protocol):
    async def close(self) -> None: ...


# Opens a connection in autocommit mode, which is not returned to the pool.
Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@frozen(kw_only=True, eq=False)
class SqlDialect:
    """One database: its name in messages, and all its differences from other databases."""

    name: str
    # A query for the version, which is the first word of the result.
    version: str
    # A condition: whether the table `need.name` is there, and this user has the right `need.privilege` to it.
    may: str
    # A query for what keeps rows that were removed from being cleaned up, each as `holder` (words for a person) and
    # `since` (a moment, or NULL if it is not known), the oldest first. None if they are cleaned up in any case.
    holding_back_vacuum: str | None
    # A query for settings of the server or the database that break a promise, each as `name` and `setting`. None if
    # there are no such settings.
    unsafe_settings: str | None
    # A query for the other sessions of our processes in this database: the `revision` of each, '' if it is from before
    # sessions told theirs, its `name`, and its `place`, '' if it isn't known. None if one process has the database.
    sessions: str | None
    # One row about the standbys: `names` that commits wait for, how many are connected (`standbys`), how many of them
    # commits wait for (`synchronous`), and of how many this user is not told that (`hidden`).
    replication: str | None
    # Whether a rollback also undoes changes of the tables, so that a migration is done completely or not at all.
    transactional_ddl: bool
    # How a migrator's connection stops to check foreign keys, and selects the rows that would break one. None if tables
    # that others refer to can be changed in place.
    suspend_foreign_keys: tuple[str, str] | None
    # Statements that remove all rows of these tables. Those that refer to others come before them.
    empty: Callable[[Sequence[str]], Sequence[str]]
    # A statement that takes a page of the server's disk until its transaction is rolled back. None if the disk is ours.
    take_page: Executable | None
    # A column type for moments, with microseconds. Values have a time zone.
    moment: TypeEngine[datetime]
    connections: Connections
    driver: Driver
    errors: Errors
    rows: Rows
    inserts: Inserts
    locks: Locks
    durability: Durability
    expressions: Expressions
    # Selects one row, `identity` and `position`, by which a restored database can be recognised (`DatabaseMark`). The
    # position is NULL while the server can't tell. None if nobody but the process that has the database caches it.
    mark: Executable | None
    # Selects one row, `lineage`: which server, history and tables the database has. It changes with a restore and a
    # failover, and is NULL while the server can't tell. None if a restored database can't be recognised.
    lineage: Executable | None
    # Makes the signal that wakes the relays of all processes. None if the database can't notify other processes.
    signal: Callable[[Connect], ClosableSignal] | None
