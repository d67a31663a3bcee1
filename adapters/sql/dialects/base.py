"""What a database does in its own way. All that the statements of `adapters/sql` know of a database stands here.

A new database is a folder beside this file, with one `SqlDialect` in it, and its line in `registry.py`. A database without
partial indexes also needs its options in `tables.py`: the conditions of the two unique ones are rules.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, Protocol

from attrs import frozen
from sqlalchemy import URL, Column, Delete, Executable, FromClause, Select, Table, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from application.ports.messaging import OutboxSignal

# Seconds that a new connection may take.
CONNECT_TIMEOUT: Final = 3.0
# An execution option of a connection: whoever only reads through SQLAlchemy itself waits for no writer.
READING: Final = "holdfast_reading"


@frozen(kw_only=True)
class Timeouts:
    """In seconds: how long a statement may take, and how long it may wait for rows that others have locked."""

    statement: float
    lock: float


@frozen(kw_only=True)
class UniqueKey:
    """A primary key or a unique index, by its name and by what it is on."""

    name: str
    table: str
    columns: tuple[str, ...]
    is_primary: bool


class Watch(Protocol):
    """Sees to it that nobody waits for long on a connection from which no answer will come."""

    async def watched(self, connection: Any, answer: Awaitable[Any]) -> Any:
        """Await the answer. Raise the driver's error for a lost connection when none will come."""


class Connections(Protocol):
    """How connections are opened, and what they are told first."""

    @property
    def one_writer(self) -> bool:
        """Whether one transaction at a time may write. Those of this process then wait in line for their turn."""

    @property
    def outlive_a_cancellation(self) -> bool:
        """Whether a statement that is cancelled goes on, and keeps its locks. It is then awaited, and must be short."""

    def address(self, url: URL, timeouts: Timeouts) -> tuple[URL, dict[str, Any]]:
        """The URL with the name of the driver, and the arguments with which the driver connects.

        Raise `ValueError`, without the password in it. A commit must be on the disk before it is answered; the server
        should end a statement, a wait for a lock and an idle transaction by itself, in their time.
        """

    def prepare(self, engine: AsyncEngine, connect: Mapping[str, Any]) -> Watch | None:
        """Listen to the events of a new engine: prepare new connections, and let none out of the pool that is closed.

        What watches its connections is given back; None where a connection can't fall silent.
        """

    def server_name(self, url: URL) -> str:
        """For messages: what it is and where, without user and password."""


class Compiled(Protocol):
    """A statement as a driver takes it."""

    @property
    def sql(self) -> str: ...

    @property
    def columns(self) -> tuple[Callable[[Any], Any], ...]:
        """What turns that which the driver brings into values, for a driver that brings no values."""

    @property
    def row(self) -> type[Any]:
        """What `Driver.row` made for its columns."""


class Driver(Protocol):
    """How statements reach the database over a raw connection of the driver, past SQLAlchemy."""

    @property
    def begin(self) -> str:
        """The command that begins a transaction that may write."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """All that the driver may raise, but for the errors of the operating system."""

    def row(self, names: Sequence[str]) -> type[Any]:
        """A class for rows whose columns are attributes of these names."""

    def run(self, connection: Any, command: str) -> Awaitable[Any]:
        """`begin`, COMMIT or ROLLBACK. Locks that a database keeps beyond the transaction are given back here."""

    async def fetch(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> Sequence[Any]: ...

    async def change(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> int:
        """Return how many rows matched, be it that some were so already."""

    def is_closed(self, connection: Any) -> bool:
        """Whether it is known that nothing can be sent any more."""

    def is_refusal(self, error: BaseException) -> bool:
        """Whether only this statement has failed, refused or never sent, and the connection is sound."""

    def cut(self, connection: Any) -> None:
        """Close it without waiting for anybody."""

    def told(self, error: Exception, connection: Any) -> DBAPIError:
        """The error as SQLAlchemy would wrap it, which `Errors` reads for both, `connection_invalidated` included."""


class Errors(Protocol):
    """What the errors of the database mean, be they SQLAlchemy's or made by `Driver.told`."""

    def translated(self, error: DBAPIError, server: str) -> Exception | None:
        """`Unavailable` or `Aborted`, or None where neither is true. A key that is not unique is asked for below."""

    def broken_key(self, error: DBAPIError) -> str | None:
        """The key that would not have been unique, as the database calls it; None where it is another error."""

    def name_of(self, key: UniqueKey) -> str:
        """What the database calls this key in its errors."""

    def ends_session(self, error: DBAPIError) -> bool:
        """Whether the server has closed the connection with this error, and rolled back."""

    def leaves_commit_open(self, error: DBAPIError) -> bool:
        """Whether a COMMIT that ends with this error may have happened, beyond what a lost connection says."""


class Rows(Protocol):
    """Any number of rows, or of values, as parameters of a statement whose text is always the same."""

    def list_type(self, item: TypeEngine[Any]) -> TypeEngine[Any]:
        """The type of a parameter that is a list; an array, or a document with `documents.JsonList`."""

    def new(self, columns: Sequence[Column[Any]]) -> FromClause:
        """The rows as a table `new` with these columns, in the order in which they were given."""

    def parameters(self, names: Sequence[str], columns: Sequence[list[Any]]) -> dict[str, Any]:
        """The parameters of `new`; the rows are given column by column."""

    def look_up(self, new: FromClause, matching: Select[Any]) -> Select[Any]:
        """The rows of `matching`, at most one for each of `new`, found by its index one by one."""


class Inserts(Protocol):
    """Several statements are sent one after the other, with the same parameters; the answer is that of the first."""

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
        """Insert a row; where its key is taken, change the row that is there, if it is such as `where` says.

        Both are given the columns of the new row. `changes` and `where` see the old row as it was, all of it, also
        where assignments are made one after the other. A row that stays as it was counts as none.
        """

    def missing(self, table: Table, rows: Select[Any], key: Sequence[Column[Any]]) -> Sequence[Executable]:
        """Insert the rows whose primary key is not taken, and answer with the `key` of each of these.

        Whoever is inserting the same is waited for. Without RETURNING: select those that are missing, for update, and
        insert those that are missing then; a key that was taken in between is an error, and so `Aborted`.
        """

    def into_both(self, new: FromClause, first: Table, second: Table, shared: Sequence[str]) -> Sequence[Executable]:
        """Insert new rows into one table, and those columns of them that both have into the other."""


class Locks(Protocol):
    @property
    def try_each(self) -> Executable | None:
        """Try to lock each of the 64-bit `ids` until the transaction ends, without waiting; answer with each `id` had.

        None where whoever writes is alone anyway.
        """

    @property
    def migrating(self) -> Executable | None:
        """Wait until nobody else migrates, and keep others waiting until the transaction ends; None as above."""


class Durability(Protocol):
    """Commits that need not wait for the disk, where the database can be told so for one transaction."""

    def need_not_last(self, delete: Delete) -> Delete:
        """A statement whose transaction may be forgotten by a crash."""

    @property
    def must_last(self) -> Executable | None:
        """Sent before something that must not be forgotten, perhaps in the same transaction; None where none may be."""


class Expressions(Protocol):
    """SQL made of SQL. Another clock than the database's would be one more that may be wrong."""

    def among(self, value: str, values: str) -> str:
        """Whether a value is in a list, whose type is `Rows.list_type`. It must use an index."""

    def json_rows(self, columns: str) -> str:
        """All rows of a group as a JSON array of arrays, in any order, as text."""

    def from_now(self, seconds: str) -> str:
        """The moment that is so many seconds after now, and not after the beginning of the transaction."""


class ClosableSignal(OutboxSignal, Protocol):
    async def close(self) -> None: ...


# Opens a connection on which each statement is a transaction, and which nobody uses after that.
Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@frozen(kw_only=True, eq=False)
class SqlDialect:
    """One database: its name for people, and what it does in its own way."""

    name: str
    # A query for its version, which is the first word of the answer.
    version: str
    # Whether a change of the tables is taken back with its transaction, so that a migration is all or nothing.
    transactional_ddl: bool
    # What keeps a moment to the microsecond, and takes it and gives it with its zone.
    moment: TypeEngine[datetime]
    connections: Connections
    driver: Driver
    errors: Errors
    rows: Rows
    inserts: Inserts
    locks: Locks
    durability: Durability
    expressions: Expressions
    # Makes what wakes the relays of all processes; None where the database can tell other processes nothing.
    signal: Callable[[Connect], ClosableSignal] | None
