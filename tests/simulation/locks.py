import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable

from attrs import define, field

from application.errors import Aborted


@define(eq=False)
class _Row:
    owner: "Holder"
    waiting: "deque[tuple[Holder, asyncio.Future[None]]]" = field(factory=deque)


@define(eq=False)
class RowLocks:
    """The locks of a database that many transactions write to at once.

    A store in memory lets one writer in at a time, which would hide a lock that is missing or out of order.
    """

    on_deadlock: Callable[[str], None]
    # Awaited between two rows of one transaction: others may lock some meanwhile.
    between: Callable[[], Awaitable[None]]
    rows: dict[Hashable, _Row] = field(factory=dict)


@define(eq=False)
class Holder:
    """What one transaction has locked, until it ends."""

    _locks: RowLocks
    _held: list[Hashable] = field(factory=list)
    wants: Hashable = None

    async def take(self, keys: Collection[Hashable]) -> None:
        """Lock one after the other. Raise `Aborted` on a deadlock."""
        for number, key in enumerate(keys):
            if number:
                await self._locks.between()
            row = self._locks.rows.get(key)
            if row is None:
                self._locks.rows[key] = _Row(self)
                self._held.append(key)
            elif row.owner is not self:
                await self._wait(key, row)

    def try_take(self, key: Hashable) -> bool:
        """Lock the row, unless another transaction has locked it."""
        row = self._locks.rows.get(key)
        if row is None:
            self._locks.rows[key] = _Row(self)
            self._held.append(key)
        return row is None or row.owner is self

    async def _wait(self, key: Hashable, row: _Row) -> None:
        turn = asyncio.get_running_loop().create_future()
        self.wants = key
        if self._waits_for_itself():
            self._locks.on_deadlock(f"two transactions wait for each other at {key}")
            raise Aborted("deadlock")
        row.waiting.append((self, turn))
        # If it was cancelled while waiting, it is skipped. If it had the lock already, it releases it.
        await turn
        self.wants = None

    def _waits_for_itself(self) -> bool:
        holder = self
        while holder.wants is not None and holder.wants in self._locks.rows:
            holder = self._locks.rows[holder.wants].owner
            if holder is self:
                return True
        return False

    def is_given(self, key: Hashable) -> None:
        self._held.append(key)
        self.wants = None

    def release(self) -> None:
        for key in self._held:
            row = self._locks.rows.pop(key)
            while row.waiting:
                holder, turn = row.waiting.popleft()
                if not turn.done():
                    row.owner = holder
                    self._locks.rows[key] = row
                    holder.is_given(key)
                    turn.set_result(None)
                    break
        self._held.clear()
