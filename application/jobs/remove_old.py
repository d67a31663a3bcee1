"""What jobs leave behind is removed after some time, a batch in one transaction: no transaction should take long."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from attrs import frozen

from application.ports.persistence import Transaction, UnitOfWork

_JOBS: Final = 500
# A file may be large.
_FILES: Final = 10


@frozen
class RemoveJobs:
    """Remove jobs that ended longer ago than `keep`. Return how many."""

    _unit_of_work: UnitOfWork
    _keep: timedelta

    async def __call__(self) -> int:
        async def remove(tx: Transaction) -> int:
            return await tx.jobs.remove_finished(await tx.jobs.now() - self._keep, limit=_JOBS)

        return await _until_none_is_left(self._unit_of_work, remove, batch=_JOBS)


@frozen
class RemoveFiles:
    """Remove the files of jobs that were written longer ago than `keep`. Return how many."""

    _unit_of_work: UnitOfWork
    _keep: timedelta

    async def __call__(self) -> int:
        async def remove(tx: Transaction) -> int:
            return await tx.files.prune(older_than=self._keep, limit=_FILES)

        return await _until_none_is_left(self._unit_of_work, remove, batch=_FILES)


async def _until_none_is_left(
    unit_of_work: UnitOfWork, remove: Callable[[Transaction], Awaitable[int]], *, batch: int
) -> int:
    total = 0
    while True:
        async with unit_of_work() as tx:
            removed = await remove(tx)
        total += removed
        if removed < batch:
            return total
