from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen

from adapters.codecs.webhook_log import attempts_in, lines_of
from adapters.memory.store import Changes
from application.errors import Aborted
from application.ports.broken import BrokenEndpoint
from application.ports.webhook_store import AttemptsMade, DeliveryFilter
from application.ports.webhooks import Attempt
from domain.ids import EndpointId, OrderId
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, Undelivered
from domain.webhooks.endpoint import Endpoint
from domain.webhooks.progress import Progress

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class MemoryWebhookEndpoints:
    _changes: Changes

    async def add_many(self, endpoints: Sequence[Endpoint]) -> None:
        await self.save_many(endpoints)

    async def get_many(
        self,
        ids: Collection[EndpointId],
        *,
        lock: bool = False,  # noqa: ARG002 - the only writer has locked everything
    ) -> dict[EndpointId, Endpoint]:
        known = self._changes.webhook_endpoints
        return {id_: evolve(known[id_]) for id_ in sorted(ids) if id_ in known}

    async def save_many(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            self._changes.webhook_endpoints[endpoint.id] = evolve(endpoint)

    async def page(self, *, after: EndpointId | None, limit: int) -> list[Endpoint | BrokenEndpoint]:
        there = sorted(self._changes.webhook_endpoints.items())
        found = [each for id_, each in there if each.deleted_at is None and (after is None or id_ > after)]
        return [evolve(endpoint) for endpoint in found[:limit]]

    async def count(self) -> int:
        return sum(each.deleted_at is None for each in self._changes.webhook_endpoints.values())


@frozen
class MemoryWebhookProgress:
    _changes: Changes

    async def add_many(self, progress: Sequence[Progress]) -> None:
        await self.save_many(progress)

    async def get_many(
        self,
        ids: Collection[EndpointId],
        *,
        lock: bool = False,  # noqa: ARG002 - as above
    ) -> dict[EndpointId, Progress]:
        known = self._changes.webhook_progress
        return {id_: evolve(known[id_]) for id_ in sorted(ids) if id_ in known}

    async def save_many(self, progress: Sequence[Progress]) -> None:
        for each in progress:
            self._changes.webhook_progress[each.endpoint_id] = evolve(each)

    async def ids(self, *, after: EndpointId | None, limit: int) -> list[EndpointId]:
        return [id_ for id_ in sorted(self._changes.webhook_progress) if after is None or id_ > after][:limit]

    async def waiting(
        self,
        moment: datetime,
        *,
        newest: int,
        suspect: bool,
        limit: int,
        lock: bool = False,  # noqa: ARG002 - as above
    ) -> list[Progress]:
        found = [
            evolve(progress)
            for id_, progress in self._changes.webhook_progress.items()
            if progress.is_suspect is suspect
            and progress.is_waiting(moment, newest=newest)
            and self._changes.webhook_endpoints[id_].is_served
        ]
        return sorted(found, key=lambda each: (each.served_at or _NEVER, each.endpoint_id))[:limit]

    async def release(self, *, by: str) -> None:
        for id_, progress in list(self._changes.webhook_progress.items()):
            if progress.served_by == by and progress.leased_until is not None:
                self._changes.webhook_progress[id_] = evolve(progress, leased_until=None)


@frozen
class MemoryWebhookDeliveries:
    _changes: Changes

    async def add_many(self, deliveries: Sequence[Delivery], attempts: AttemptsMade) -> None:
        for delivery in deliveries:
            if delivery.id in self._there():
                raise Aborted(f"there is a delivery {delivery.id} already")
            self._keep(delivery, "", attempts)

    async def save_many(self, deliveries: Sequence[Delivery], attempts: AttemptsMade) -> None:
        for delivery in deliveries:
            self._keep(delivery, self._there()[delivery.id][1], attempts)

    async def get_many(
        self,
        endpoint_id: EndpointId,
        positions: Collection[int],
        *,
        lock: bool = False,  # noqa: ARG002 - as above
    ) -> dict[int, Delivery]:
        return {each.id.position: each for each in self._of(endpoint_id) if each.id.position in positions}

    async def due(
        self, endpoint_id: EndpointId, moment: datetime, *, since: datetime | None = None, limit: int
    ) -> list[Delivery]:
        found = [each for each in self._of(endpoint_id) if each.is_due(moment) and _is_since(each, since)]
        return sorted(found, key=lambda each: (each.next_at or moment, each.id.position))[:limit]

    async def skip_open(self, endpoint_id: EndpointId, why: Undelivered, *, at: datetime) -> None:
        open_ = [each for each in self._of(endpoint_id) if each.is_open]
        for delivery in open_:
            delivery.skip(why, at=at)
        await self.save_many(open_, {})

    async def standing(self, endpoint_id: EndpointId, *, since: datetime | None = None) -> tuple[datetime | None, bool]:
        missing = [each for each in self._of(endpoint_id) if each.status is not DeliveryStatus.DELIVERED]
        due = [each.next_at for each in missing if each.next_at is not None and _is_since(each, since)]
        return min(due, default=None), since is not None or bool(missing)

    async def undelivered(self, endpoint_id: EndpointId, order_ids: Collection[OrderId]) -> list[Delivery]:
        missing = [each for each in self._of(endpoint_id) if each.status is not DeliveryStatus.DELIVERED]
        return [each for each in missing if each.order_id in order_ids]

    async def attempts(self, id_: DeliveryId) -> list[Attempt]:
        found = self._there().get(id_)
        return [] if found is None else attempts_in(found[1])

    async def of_order(self, order_id: OrderId, *, limit: int) -> list[Delivery]:
        return [evolve(each) for _, (each, _) in sorted(self._there().items()) if each.order_id == order_id][:limit]

    async def page(self, only: DeliveryFilter, *, before: DeliveryId | None, limit: int) -> list[Delivery]:
        newest_first = [each for _, (each, _) in sorted(self._there().items(), reverse=True)]
        found = [each for each in newest_first if only.wants(each) and (before is None or each.id < before)]
        return [evolve(each) for each in found[:limit]]

    async def count(self, endpoint_id: EndpointId, *, after: int, until: int, delivered: bool | None = None) -> int:
        found = [each for each in self._of(endpoint_id) if after < each.id.position <= until]
        return sum(delivered in {None, each.status is DeliveryStatus.DELIVERED} for each in found)

    async def remove(self, endpoint_id: EndpointId, moment: datetime, *, after: int, limit: int) -> tuple[int, int]:
        removed: list[DeliveryId] = []
        for delivery in [each for each in self._of(endpoint_id) if each.id.position > after][:limit]:
            if delivery.finished_at is None or delivery.finished_at >= moment:
                break
            removed.append(delivery.id)
        for id_ in removed:
            self._changes.webhook_deliveries[id_] = None
        return len(removed), removed[-1].position if removed else 0

    def _there(self) -> dict[DeliveryId, tuple[Delivery, str]]:
        return self._changes.webhook_deliveries_there()

    def _of(self, endpoint_id: EndpointId) -> list[Delivery]:
        return [evolve(each) for id_, (each, _) in sorted(self._there().items()) if id_.endpoint_id == endpoint_id]

    def _keep(self, delivery: Delivery, log: str, attempts: AttemptsMade) -> None:
        self._changes.webhook_deliveries[delivery.id] = (
            evolve(delivery),
            log + lines_of(attempts.get(delivery.id, ())),
        )


def _is_since(delivery: Delivery, since: datetime | None) -> bool:
    return since is None or (delivery.next_at is not None and delivery.next_at >= since)
