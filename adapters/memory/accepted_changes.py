from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from attrs import define, field

from application.ports.caching import AcceptedChanges
from application.ports.environment import Elapsed, loop_time
from domain.ids import JobId, OrderId
from domain.orders.events import OrderChangeAccepted

# About 20 MB. The oldest are forgotten.
_MOST: Final = 20_000


@define(eq=False)
class MemoryAcceptedChanges:
    """The changes that this process has accepted, each for `ttl` seconds: the job that it became is removed one day."""

    _most: int = field(default=_MOST, kw_only=True)
    _ttl: float = field(default=24 * 3600, kw_only=True)
    _time: Elapsed = field(default=loop_time, kw_only=True)
    _ends: dict[JobId, float] = field(factory=dict, init=False)
    # The oldest first.
    _changes: OrderedDict[JobId, OrderChangeAccepted] = field(factory=OrderedDict, init=False)
    _of_orders: dict[OrderId, list[JobId]] = field(factory=dict, init=False)

    async def put_many(self, changes: Sequence[OrderChangeAccepted]) -> None:
        for change in changes:
            if change.job_id not in self._changes:
                self._changes[change.job_id] = change
                self._ends[change.job_id] = self._time() + self._ttl
                self._of_orders.setdefault(change.order_id, []).append(change.job_id)
        while len(self._changes) > self._most:
            self._remove(next(iter(self._changes)))

    async def of_orders(self, ids: Collection[OrderId]) -> dict[OrderId, list[JobId]]:
        self._remove_ended()
        return {id_: list(self._of_orders[id_]) for id_ in ids if id_ in self._of_orders}

    async def get(self, id_: JobId) -> OrderChangeAccepted | None:
        self._remove_ended()
        return self._changes.get(id_)

    async def forget(self, recorded: Mapping[OrderId, Collection[JobId]]) -> None:
        for id_ in [each for ids in recorded.values() for each in ids]:
            self._remove(id_)

    async def scan(self, cursor: int) -> tuple[int, list[OrderChangeAccepted]]:  # noqa: ARG002 - one call returns all
        self._remove_ended()
        return 0, list(self._changes.values())

    def _remove_ended(self) -> None:
        while self._changes and self._ends[id_ := next(iter(self._changes))] <= self._time():
            self._remove(id_)

    def _remove(self, id_: JobId) -> None:
        change = self._changes.pop(id_, None)
        if change is None:
            return
        del self._ends[id_]
        left = self._of_orders[change.order_id]
        left.remove(id_)
        if not left:
            del self._of_orders[change.order_id]


@define(eq=False)
class SharedAcceptedChanges:
    """The changes that any process has accepted, and those of this one also while the others' can't be read."""

    _shared: AcceptedChanges
    _here: AcceptedChanges = field(factory=MemoryAcceptedChanges)

    async def put_many(self, changes: Sequence[OrderChangeAccepted]) -> None:
        await self._here.put_many(changes)
        await self._shared.put_many(changes)

    async def of_orders(self, ids: Collection[OrderId]) -> dict[OrderId, list[JobId]]:
        shared, here = await self._shared.of_orders(ids), await self._here.of_orders(ids)
        return {id_: list(dict.fromkeys([*shared.get(id_, ()), *here.get(id_, ())])) for id_ in shared | here}

    async def get(self, id_: JobId) -> OrderChangeAccepted | None:
        return await self._here.get(id_) or await self._shared.get(id_)

    async def forget(self, recorded: Mapping[OrderId, Collection[JobId]]) -> None:
        await self._here.forget(recorded)
        await self._shared.forget(recorded)

    async def scan(self, cursor: int) -> tuple[int, list[OrderChangeAccepted]]:
        return await self._shared.scan(cursor)
