import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Final, TypeVar, cast
from uuid import UUID

from attrs import define, field, frozen

from adapters.payments.simulated.ledger import LedgerEntry, Outcome
from adapters.sqlite_file import LOST_ITS_LOG, identity, log_of, tables_in
from adapters.sqlite_wal import enter_wal
from application.errors import OutcomeUnknown, Unavailable
from application.execution.batching import Batched
from domain.ids import PaymentId
from domain.money import Money

T = TypeVar("T")

_SECONDS_FOR_A_LOCK: Final = 10.0


@frozen
class _Refund:
    key: PaymentId
    amount: Money


@define(eq=False)
class FileLedger:
    """A ledger in an SQLite file, which several processes may use at once; `open_file_ledger` opens it.

    What was returned survives the end of the process and of the machine. Calls that are made at the same time share
    one transaction.
    """

    _path: Path = field(converter=Path)
    # Whether the file may be made. A command that only reads would take an empty one for a shop that nobody has paid.
    _new: bool = field(default=True, kw_only=True)
    # One thread owns the connection, so that a cancelled caller can't leave two transactions on it at once.
    _thread: ThreadPoolExecutor = field(init=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False)
    # The identity of the file that was opened first, and that of the connection's log.
    _file: tuple[int, int] | None = field(default=None, init=False)
    _log: tuple[int, int] | None = field(default=None, init=False)
    _log_is_lost: bool = field(default=False, init=False)
    _batch: "Batched[LedgerEntry | _Refund, LedgerEntry | None]" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        # Who asks a provider limits how much is asked at once, and for how long it is waited for.
        self._batch = Batched(self._work, max_in_flight=1, longest_wait=inf)

    async def enter(self, entry: LedgerEntry) -> LedgerEntry:
        return cast("LedgerEntry", await self._batch(entry))

    async def refund(self, key: PaymentId, amount: Money) -> LedgerEntry | None:
        return await self._batch(_Refund(key, amount))

    async def entries(self) -> list[LedgerEntry]:
        return await self._in_thread(_all)

    async def page(self, *, after: PaymentId | None, limit: int) -> list[LedgerEntry]:
        parameters = {"after": None if after is None else str(after), "limit": limit}
        return await self._in_thread(lambda connection: _entries(connection, _PAGE, parameters))

    async def get_many(self, keys: Collection[PaymentId]) -> dict[PaymentId, LedgerEntry]:
        parameters = {"keys": json.dumps([str(key) for key in keys])}
        found = await self._in_thread(lambda connection: _entries(connection, _BY_KEYS, parameters))
        return {entry.key: entry for entry in found}

    async def owner(self) -> UUID | None:
        """The shop whose ledger this is. None: nobody has claimed it yet."""
        return await self._in_thread(_owner)

    async def claim(self, shop: UUID) -> UUID:
        """Make it the ledger of this shop, unless it is another's. Return the shop whose ledger it is."""
        return await self._in_thread(lambda connection: _claim(connection, shop))

    async def close(self) -> None:
        """Wait for calls in progress, then close the file."""
        await self._batch.drained()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _work(self, calls: Sequence[LedgerEntry | _Refund]) -> Sequence[LedgerEntry | None]:
        return await self._in_thread(lambda connection: _write(connection, calls))

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                if self._file is not None and identity(self._path) != self._file:
                    raise Unavailable(f"the payment ledger {self._path} was deleted or replaced while it was in use")
                self._expect_its_log()
                if self._connection is None:
                    if not self._new and identity(self._path) is None:
                        raise Unavailable(_NONE.format(self._path))
                    self._connection = _connect(self._path, new=self._new)
                    self._file, self._log = identity(self._path), identity(log_of(self._path))
                return work(self._connection)
            except OutcomeUnknown:
                self._disconnect()
                raise
            except (sqlite3.Error, OSError) as error:
                # The state of the connection is unknown, so the next call opens a new one.
                self._disconnect()
                raise Unavailable(f"the payment ledger {self._path} can't be used: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _expect_its_log(self) -> None:
        """Refuse to go on without the log, for good: what is written to one that was deleted may be lost.

        SQLite itself removes the log with the last connection, and first writes all of it into the file.
        """
        if self._connection is not None and identity(log_of(self._path)) != self._log:
            self._log_is_lost = True
        if self._log_is_lost:
            raise Unavailable(f"the payment ledger {self._path} {LOST_ITS_LOG}")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@asynccontextmanager
async def open_file_ledger(path: Path | str) -> AsyncIterator[FileLedger]:
    """Open the ledger at a path, which need not exist. Raise `Unavailable` if it can't be opened."""
    ledger = FileLedger(path)
    try:
        # An unusable file must be reported now, and not with the first charge.
        await ledger.page(after=None, limit=1)
        yield ledger
    finally:
        await ledger.close()


def _connect(path: Path, *, new: bool) -> sqlite3.Connection:
    tables = tables_in(path)
    if tables and _LEDGER not in tables:
        raise Unavailable(f"the payment ledger {path} is the database of another program: name another file")
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_SECONDS_FOR_A_LOCK, isolation_level=None)
    try:
        enter_wal(connection.execute, timeout=_SECONDS_FOR_A_LOCK)
        connection.execute("PRAGMA synchronous = FULL")
        if new:
            for table in _TABLES:
                connection.execute(table)
        # The first read opens the log, which is not removed from then on: see `_expect_its_log`.
        connection.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        connection.close()
        raise
    return connection


_NONE: Final = (
    "there is no payment ledger {}: name this shop's with HOLDFAST_GATEWAY_LEDGER, or start a worker, which makes one"
)
_LEDGER: Final = "ledger"
_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS ledger (
        position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, amount INTEGER NOT NULL, currency TEXT NOT NULL,
        outcome TEXT NOT NULL, reference TEXT, refunded INTEGER NOT NULL, at TEXT NOT NULL
    )
    """,
    # One row at most. Ledgers of earlier releases have no such table.
    "CREATE TABLE IF NOT EXISTS owner (one INTEGER PRIMARY KEY CHECK (one = 1), shop TEXT NOT NULL)",
)
_ENTER: Final = """
    INSERT INTO ledger (key, amount, currency, outcome, reference, refunded, at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO NOTHING
"""
_REFUND: Final = """
    UPDATE ledger SET refunded = 1 WHERE key = ? AND amount = ? AND currency = ? AND outcome = 'CHARGED'
"""
_FIND: Final = "SELECT key, amount, currency, outcome, reference, refunded, at FROM ledger WHERE key = ?"
_ALL: Final = "SELECT key, amount, currency, outcome, reference, refunded, at FROM ledger ORDER BY position"
_PAGE: Final = """
    SELECT key, amount, currency, outcome, reference, refunded, at FROM ledger
    WHERE position > coalesce((SELECT position FROM ledger WHERE key = :after), 0) ORDER BY position LIMIT :limit
"""
_BY_KEYS: Final = """
    SELECT key, amount, currency, outcome, reference, refunded, at FROM ledger
    WHERE key IN (SELECT value FROM json_each(:keys))
"""

_Row = tuple[str, int, str, str, str | None, int, str]


def _write(connection: sqlite3.Connection, calls: Sequence[LedgerEntry | _Refund]) -> list[LedgerEntry | None]:
    kept: list[LedgerEntry | None] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for call in calls:
            if isinstance(call, _Refund):
                connection.execute(_REFUND, (str(call.key), call.amount.minor, call.amount.currency))
            else:
                connection.execute(_ENTER, _row(call))
            row: _Row | None = connection.execute(_FIND, (str(call.key),)).fetchone()
            kept.append(None if row is None else _entry(row))
        _commit(connection)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return kept


def _commit(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise OutcomeUnknown(f"the payment ledger did not confirm a commit: {error}") from error


def _owner(connection: sqlite3.Connection) -> UUID | None:
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'owner'").fetchone() is None:
        return None
    row = connection.execute("SELECT shop FROM owner").fetchone()
    return None if row is None else UUID(row[0])


def _claim(connection: sqlite3.Connection, shop: UUID) -> UUID:
    connection.execute("INSERT INTO owner VALUES (1, ?) ON CONFLICT DO NOTHING", (str(shop),))
    return _owner(connection) or shop


def _all(connection: sqlite3.Connection) -> list[LedgerEntry]:
    return _entries(connection, _ALL, {})


def _entries(connection: sqlite3.Connection, query: str, parameters: Mapping[str, object]) -> list[LedgerEntry]:
    rows: list[_Row] = connection.execute(query, parameters).fetchall()
    return [_entry(row) for row in rows]


def _row(entry: LedgerEntry) -> _Row:
    return (
        str(entry.key),
        entry.amount.minor,
        entry.amount.currency,
        entry.outcome.value,
        entry.reference,
        int(entry.refunded),
        entry.at.isoformat(),
    )


def _entry(row: _Row) -> LedgerEntry:
    key, minor, currency, outcome, reference, refunded, at = row
    return LedgerEntry(
        key=PaymentId(UUID(key)),
        amount=Money(minor, currency),
        outcome=Outcome(outcome),
        reference=reference,
        refunded=bool(refunded),
        at=datetime.fromisoformat(at),
    )
