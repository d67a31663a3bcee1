from datetime import timedelta
from typing import Final

from attrs import field, frozen

from application.ports.persistence import UnitOfWork
from domain.ids import EndpointId

_KEEP: Final = timedelta(days=30)
_ENDPOINTS: Final = 200


@frozen
class RemoveDeliveries:
    """Remove the deliveries that ended 30 days ago, with their attempts. Return how many.

    Those of an endpoint are removed from the first on, up to one that is open or younger: so what is left is all that
    there was above a position.
    """

    _unit_of_work: UnitOfWork
    _keep: timedelta = field(default=_KEEP, kw_only=True)
    _batch: int = field(default=500, kw_only=True)

    async def __call__(self) -> int:
        total, after = 0, None
        while True:
            async with self._unit_of_work.reading() as tx:
                ids = await tx.webhook_progress.ids(after=after, limit=_ENDPOINTS)
            for id_ in ids:
                while removed := await self._remove(id_):
                    total += removed
            if len(ids) < _ENDPOINTS:
                return total
            after = ids[-1]

    async def _remove(self, id_: EndpointId) -> int:
        async with self._unit_of_work() as tx:
            progress = (await tx.webhook_progress.get_many({id_}, lock=True)).get(id_)
            if progress is None:
                return 0
            moment = await tx.jobs.now() - self._keep
            removed, last = await tx.webhook_deliveries.remove(
                id_, moment, after=progress.removed_to, limit=self._batch
            )
            if removed:
                progress.removed += removed
                progress.removed_to = last
                await tx.webhook_progress.save_many([progress])
            return removed
