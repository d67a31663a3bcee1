from datetime import timedelta
from typing import Final

from attrs import frozen

from application.ports.persistence import UnitOfWork

# A file may be large, and no transaction should take long.
_BATCH: Final = 10


@frozen
class RemoveFiles:
    """Remove the files of jobs that were written longer ago than `keep`. Return how many."""

    _unit_of_work: UnitOfWork
    _keep: timedelta

    async def __call__(self) -> int:
        removed = 0
        while True:
            async with self._unit_of_work() as tx:
                batch = await tx.files.prune(older_than=self._keep, limit=_BATCH)
            removed += batch
            if batch < _BATCH:
                return removed
