from datetime import timedelta
from typing import Final

from attrs import define, field

from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork

# In seconds: between two steps, so that the table is not read in one go, and at most between two rounds.
_BETWEEN_STEPS: Final = 0.5
_BETWEEN_ROUNDS: Final = 3600.0


@define(eq=False)
class PruneKeys:
    """Remove the stored responses that are older than the retention, in steps that each look at a page of the keys.

    A request that is repeated later is a new one. Where it asks for an order, it gets the order that is there.
    """

    _unit_of_work: UnitOfWork
    _retention: timedelta
    _page: int = field(default=500, kw_only=True)
    # The last key that was looked at; None at the beginning of a round.
    _last: IdempotencyKey | None = field(default=None, init=False)

    async def __call__(self) -> float:
        """Take a step. Return the seconds until the next."""
        async with self._unit_of_work() as tx:
            self._last = await tx.idempotency_keys.prune(older_than=self._retention, after=self._last, limit=self._page)
        if self._last is not None:
            return _BETWEEN_STEPS
        return min(self._retention.total_seconds() / 10, _BETWEEN_ROUNDS)
