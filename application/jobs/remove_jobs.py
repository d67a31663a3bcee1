from datetime import timedelta
from typing import Final

from attrs import frozen

from application.ports.persistence import UnitOfWork

_BATCH: Final = 500


@frozen
class RemoveJobs:
    """Remove jobs that ended longer ago than `keep`, a batch in one transaction. Return how many."""

    _unit_of_work: UnitOfWork
    _keep: timedelta

    async def __call__(self) -> int:
        removed = 0
        while True:
            async with self._unit_of_work() as tx:
                batch = await tx.jobs.remove_finished(await tx.jobs.now() - self._keep, limit=_BATCH)
            removed += batch
            if batch < _BATCH:
                return removed
