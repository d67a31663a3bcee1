from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

from attrs import define, field

from adapters.memory.repositories.jobs import due_since
from adapters.memory.store import Changes, MemoryStore
from adapters.memory.unit_of_work import MemoryTransaction
from application.errors import Aborted
from application.execution.after_commit import AfterCommit, Committed
from application.ports.environment import Clock
from application.ports.jobs import DueJobs
from application.ports.persistence import Transaction
from tests.acts import entries_without_an_act
from tests.simulation.faults import NOT_DONE, OUT_OF_REACH, UNKNOWN, Faults, Process
from tests.simulation.locks import Holder, RowLocks
from tests.simulation.points import REPOSITORIES, Call, implementing

# Which rows a call locks, in which order, from what it is given.
Locking = Mapping[str, Callable[..., Sequence[Hashable]]]


def _read(table: str, ids: Any, *, lock: bool = False) -> Sequence[Hashable]:
    return [(table, id_) for id_ in sorted(ids)] if lock else []


def _saved(table: str, rows: Any) -> Sequence[Hashable]:
    return [(table, id_) for id_ in sorted(row.id for row in rows)]


def _kept(answers: Any) -> Sequence[Hashable]:
    return [("kept", kept.key) for kept in answers]


def _lease(*_: object, **__: object) -> Sequence[Hashable]:
    return ["lease"]


def _feed_lease(*_: object, **__: object) -> Sequence[Hashable]:
    return ["feed lease"]


def _numbered(*_: object) -> Sequence[Hashable]:
    return ["dead_letters"]


def _deliveries(deliveries: Any, _: object) -> Sequence[Hashable]:
    return [("webhook_deliveries", *id_) for id_ in sorted(each.id for each in deliveries)]


def _progress(progress: Any) -> Sequence[Hashable]:
    return [("webhook_progress", id_) for id_ in sorted(each.endpoint_id for each in progress)]


def _positions(endpoint_id: Any, positions: Any, *, lock: bool = False) -> Sequence[Hashable]:
    return [("webhook_deliveries", endpoint_id, position) for position in sorted(positions)] if lock else []


# As PostgreSQL does: what is read to be changed, and what is written.
LOCKING: Final[Locking] = {
    "orders.get_many": partial(_read, "orders"),
    "orders.save_many": partial(_saved, "orders"),
    # Another transaction that inserts the same key waits, and then fails.
    "orders.add_many": partial(_saved, "orders"),
    "idempotency_keys.add_many": _kept,
    "products.get_many": partial(_read, "products"),
    "products.save_many": partial(_saved, "products"),
    "jobs.get_many": partial(_read, "jobs"),
    "jobs.save_many": partial(_saved, "jobs"),
    "jobs.add_many": partial(_saved, "jobs"),
    # The row of the file, which every append changes.
    "files.append": lambda file, *_: [("files", file.job_id)],
    "webhook_endpoints.get_many": partial(_read, "webhook_endpoints"),
    "webhook_endpoints.save_many": partial(_saved, "webhook_endpoints"),
    "webhook_progress.get_many": partial(_read, "webhook_progress"),
    "webhook_progress.save_many": _progress,
    "webhook_deliveries.get_many": _positions,
    "webhook_deliveries.save_many": _deliveries,
    "webhook_deliveries.add_many": _deliveries,
    "outbox.claim": _lease,
    "outbox.release": _lease,
    "feed.give_positions": _feed_lease,
    "feed.release": _feed_lease,
    "dead_letters.get_many": partial(_read, "dead_letter"),
    "dead_letters.save_many": partial(_saved, "dead_letter"),
    # A database numbers letters by itself; here a lock keeps other transactions from taking the same number.
    "dead_letters.record": _numbered,
}


@define(eq=False)
class Database:
    """The committed data and its locks. Transactions run side by side, and lock the rows that they write."""

    faults: Faults
    on_commit: Callable[[MemoryStore, Committed], None]
    on_deadlock: Callable[[str], None]
    # The clock of its server.
    now: Clock
    locking: Locking = field(factory=lambda: LOCKING)
    store: MemoryStore = field(init=False)
    locks: RowLocks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(now=self.now)
        self.locks = RowLocks(self.on_deadlock, self.faults.linger)


class _Transaction:
    """One transaction of one process. Once a statement has failed, it can't be committed any more."""

    def __init__(self, database: Database, process: Process, *, writes: bool) -> None:
        self.database, self.process, self.writes = database, process, writes
        self.changes = Changes(database.store)
        self.holder = Holder(database.locks)
        self.failed = False
        self._inner = MemoryTransaction(self.changes)

    def __getattr__(self, name: str) -> Any:
        # It is not kept: the two would hold each other, and wait for the garbage collector.
        return _STAND_INS[name](self, getattr(self._inner, name))

    async def lock(self, rows: Sequence[Hashable], effect: Callable[[], Awaitable[Any]]) -> Any:
        await self.holder.take(rows)
        return await effect()

    async def free(self, look: Callable[[], Awaitable[DueJobs]]) -> DueJobs:
        """A job that another transaction has locked is left out, and not waited for."""
        due = await look()
        free = [job for job in due.jobs if self.holder.try_take(("jobs", job.id))]
        locked = [due_since(job) for job in due.jobs if job not in free]
        return DueJobs(free, min([due.others_since, *locked]))

    async def waiting(self, find: Callable[[], Awaitable[Any]]) -> list[Any]:
        """The same for endpoints of webhooks."""
        return [each for each in await find() if self.holder.try_take(("webhook_progress", each.endpoint_id))]

    def claimed(self, keys: Any) -> list[Any]:
        """A key that another transaction has claimed is left out, and not waited for."""
        in_order = sorted(keys, key=lambda key: (key.scope, key.value))
        return [key for key in in_order if self.holder.try_take(("key", key))]


def _repository(name: str, port: type) -> type:
    def wrap(method: str, call: Call) -> Callable[..., Any]:
        locks, claims = call.name in LOCKING, call.name == "idempotency_keys.claim"

        async def stand_in(self: Any, *args: Any, **options: Any) -> Any:
            tx: _Transaction = self.tx
            if claims:
                args = (tx.claimed(*args),)
            effect = partial(getattr(self.inner, method), *args, **options)
            if call.name == "jobs.due":
                effect = partial(tx.free, effect)
            if call.name == "webhook_progress.waiting" and options.get("lock"):
                effect = partial(tx.waiting, effect)
            if call.name == "webhook_progress.release":
                held = [("webhook_progress", id_) for id_ in sorted(tx.database.store.webhook_progress)]
                effect = partial(tx.lock, held, effect)
            if locks and tx.writes:
                effect = partial(tx.lock, tx.database.locking[call.name](*args, **options), effect)
            try:
                return await tx.database.faults.call(tx.process, call, effect, before=NOT_DONE)
            except BaseException:
                tx.failed = True
                raise

        return stand_in

    def init(self: Any, tx: _Transaction, inner: Any) -> None:
        self.tx, self.inner = tx, inner

    return type(f"Simulated{port.__name__}", (), {"__init__": init, **implementing(name, port, wrap)})


_STAND_INS: Final = {name: _repository(name, port) for name, port in REPOSITORIES.items()}
_BEGIN: Final = Call("unit_of_work.begin")
_COMMIT: Final = Call("unit_of_work.commit")
_READ: Final = Call("unit_of_work.read")


@define(eq=False)
class SimulatedUnitOfWork:
    """Transactions of one process on the database that all share."""

    database: Database
    process: Process
    after_commit: AfterCommit

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return _Writing(self)

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return _Reading(self)


@define(eq=False)
class _Reading:
    _unit_of_work: SimulatedUnitOfWork

    async def __aenter__(self) -> Any:
        database, process = self._unit_of_work.database, self._unit_of_work.process
        await database.faults.call(process, _READ, _nothing, before=OUT_OF_REACH)
        return _Transaction(database, process, writes=False)

    async def __aexit__(self, *_: object) -> None:
        """What was only read leaves nothing behind."""


@define(eq=False)
class _Writing:
    _unit_of_work: SimulatedUnitOfWork
    _tx: _Transaction = field(init=False)

    async def __aenter__(self) -> Any:
        database, process = self._unit_of_work.database, self._unit_of_work.process
        await database.faults.call(process, _BEGIN, _nothing, before=OUT_OF_REACH)
        self._tx = _Transaction(database, process, writes=True)
        return self._tx

    async def __aexit__(self, kind: object, *_: object) -> None:
        tx, faults, process = self._tx, self._unit_of_work.database.faults, self._unit_of_work.process
        try:
            if kind is None:
                await faults.call(process, _COMMIT, self._commit, before=(*NOT_DONE, *UNKNOWN), after=UNKNOWN)
                await self._unit_of_work.after_commit(tx.changes.committed)
        finally:
            tx.holder.release()

    async def _commit(self) -> None:
        if self._tx.failed:
            raise Aborted("a statement of this transaction has failed")
        assert entries_without_an_act(self._tx.changes) == []
        self._tx.changes.commit()
        self._tx.holder.release()
        database = self._unit_of_work.database
        database.on_commit(database.store, self._tx.changes.committed)


async def _nothing() -> None:
    """There is nothing to begin in memory."""
