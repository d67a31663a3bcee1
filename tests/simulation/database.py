from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from attrs import define, field, frozen

from adapters.after_commit import AfterCommit, Committed
from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from application.ports import Aborted, Transaction
from tests.simulation.faults import EITHER, NO_ANSWER, Faults, Process
from tests.simulation.locks import Holder, RowLocks
from tests.simulation.points import REPOSITORIES, implementing


@frozen
class Locking:
    """Which rows a call locks, in which order, as PostgreSQL does: what is read to be changed, and what is written."""

    def rows(self, call: str, argument: Any, options: dict[str, Any]) -> list[tuple[Any, ...]]:
        if call in {"orders.get_many", "products.get_many"} and options.get("lock"):
            return [(call.partition(".")[0], id_) for id_ in sorted(argument)]
        if call in {"orders.save_many", "products.save_many"}:
            return [(call.partition(".")[0], id_) for id_ in sorted(row.id for row in argument)]
        return []


@define(eq=False)
class Database:
    """What is committed, and who is writing to it."""

    faults: Faults
    on_commit: Callable[[Committed], None]
    on_deadlock: Callable[[str], None]
    locking: Locking = field(factory=Locking)
    store: MemoryStore = field(init=False)
    locks: RowLocks = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Transactions run side by side, and lock the rows that they write.
        self.store = MemoryStore(writing=nullcontext())
        self.locks = RowLocks(self.on_deadlock)


@define(eq=False)
class _Block:
    """One transaction of one process. Once a statement has failed, it can't be committed any more."""

    database: Database
    process: Process
    writes: bool
    holder: Holder = field(init=False)
    failed: bool = False

    def __attrs_post_init__(self) -> None:
        self.holder = Holder(self.database.locks)

    async def call(self, name: str, method: Callable[..., Awaitable[Any]], args: Any, options: dict[str, Any]) -> Any:
        async def effect() -> Any:
            if self.writes:
                await self.holder.take(self.database.locking.rows(name, args[0] if args else None, options))
                if name == "inbox.record":
                    # Whoever records the same waits until this transaction has ended.
                    await self.holder.take([("inbox", args[0], id_) for id_ in sorted(args[1])])
                if name == "dead_letters.record":
                    # A database numbers letters by itself; here nobody else may take the same number meanwhile.
                    await self.holder.take(["dead_letters"])
                if name == "idempotency_keys.claim":
                    # What somebody else has claimed is left out, and not waited for.
                    keys = sorted(args[0], key=lambda key: (key.scope, key.value))
                    return await method([key for key in keys if self.holder.try_take(("key", key))])
            return await method(*args, **options)

        try:
            return await self.database.faults.call(self.process, name, effect, before=EITHER)
        except BaseException:
            self.failed = True
            raise


def _repository(name: str, port: type) -> type:
    def wrap(method: str) -> Callable[..., Any]:
        call = f"{name}.{method}"

        async def stand_in(self: Any, *args: Any, **options: Any) -> Any:
            return await self.block.call(call, getattr(self.inner, method), args, options)

        return stand_in

    def init(self: Any, block: _Block, inner: Any) -> None:
        self.block, self.inner = block, inner

    return type(f"Simulated{port.__name__}", (), {"__init__": init, **implementing(port, wrap)})


_STAND_INS = {name: _repository(name, port) for name, port in REPOSITORIES.items()}


class _Transaction:
    """The repositories, each made when it is first asked for."""

    def __init__(self, block: _Block, inner: Transaction) -> None:
        self._block, self._inner = block, inner

    def __getattr__(self, name: str) -> Any:
        repository = _STAND_INS[name](self._block, getattr(self._inner, name))
        setattr(self, name, repository)
        return repository


@define(eq=False)
class SimulatedUnitOfWork:
    """Transactions of one process on the database that all share."""

    _database: Database
    _process: Process
    _after_commit: AfterCommit

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._reading()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction, None]:
        faults, block = self._database.faults, _Block(self._database, self._process, writes=True)
        inner = MemoryUnitOfWork(self._database.store, partial(self._committed, block))
        await faults.call(self._process, "unit_of_work.begin", _nothing, before=NO_ANSWER)
        try:
            async with inner() as tx:
                yield _Transaction(block, tx)
                faults.cross(self._process, "unit_of_work.commit before")
                await faults.wait(self._process)
                faults.fail(self._process, EITHER, "unit_of_work.commit before")
                if block.failed:
                    raise Aborted("a statement of this transaction has failed")
        finally:
            block.holder.release()

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Transaction, None]:
        await self._database.faults.call(self._process, "unit_of_work.read", _nothing, before=NO_ANSWER)
        async with MemoryUnitOfWork(self._database.store).reading() as tx:
            yield _Transaction(_Block(self._database, self._process, writes=False), tx)

    async def _committed(self, block: _Block, committed: Committed) -> None:
        block.holder.release()
        self._database.on_commit(committed)
        faults = self._database.faults
        faults.cross(self._process, "unit_of_work.commit after")
        faults.fail(self._process, NO_ANSWER, "unit_of_work.commit after")
        await self._after_commit(committed)


async def _nothing() -> None:
    """There is nothing to begin in memory."""
