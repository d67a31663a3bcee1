"""Receivers of webhooks, how far they are, and what they were sent."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from application.ports.broken import BrokenEndpoint
from application.ports.webhooks import Attempt
from domain.ids import EndpointId, OrderId
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, Undelivered
from domain.webhooks.endpoint import Endpoint
from domain.webhooks.progress import Progress

# What was attempted for which delivery, to be kept with it.
AttemptsMade = Mapping[DeliveryId, Sequence[Attempt]]


@frozen(kw_only=True)
class DeliveryFilter:
    """Which deliveries a reader wants. None means all."""

    endpoint_id: EndpointId | None = None
    status: DeliveryStatus | None = None
    type: str | None = None
    order_id: OrderId | None = None
    reason: Undelivered | None = None
    # Only deliveries that have not arrived.
    undelivered: bool = False

    def wants(self, delivery: Delivery) -> bool:
        return (
            self.endpoint_id in {None, delivery.id.endpoint_id}
            and self.status in {None, delivery.status}
            and self.type in {None, delivery.type}
            and self.order_id in {None, delivery.order_id}
            and self.reason in {None, delivery.reason}
            and not (self.undelivered and delivery.status is DeliveryStatus.DELIVERED)
        )


class WebhookEndpoints(Protocol):
    """The receivers. Nothing is tracked: a changed endpoint must be saved."""

    async def add_many(self, endpoints: Sequence[Endpoint]) -> None: ...

    async def get_many(self, ids: Collection[EndpointId], *, lock: bool = False) -> dict[EndpointId, Endpoint]:
        """Those that exist, deleted ones included. With `lock`, locked in the order of their ids."""

    async def save_many(self, endpoints: Sequence[Endpoint]) -> None:
        """Save endpoints that this transaction has locked."""

    async def page(self, *, after: EndpointId | None, limit: int) -> list[Endpoint | BrokenEndpoint]:
        """A page by id, without deleted ones. One that can't be read stands in its place."""

    async def count(self) -> int:
        """How many there are, without deleted ones. Another transaction that counts them waits until this one ends."""


class WebhookProgress(Protocol):
    """How far each endpoint is. It is locked after its endpoint, if both are."""

    async def add_many(self, progress: Sequence[Progress]) -> None: ...

    async def get_many(self, ids: Collection[EndpointId], *, lock: bool = False) -> dict[EndpointId, Progress]:
        """With `lock`, locked in the order of their ids."""

    async def save_many(self, progress: Sequence[Progress]) -> None:
        """Save what this transaction has locked."""

    async def ids(self, *, after: EndpointId | None, limit: int) -> list[EndpointId]:
        """The ids of all endpoints, deleted ones included, ascending."""

    async def waiting(
        self, moment: datetime, *, newest: int, suspect: bool, limit: int, lock: bool = False
    ) -> list[Progress]:
        """Endpoints with something to do that a sender may take, the one first that was served longest ago.

        `newest` is the last position of the feed. `suspect` chooses those that have failed some times in a row, or the
        others. With `lock`, they are locked, and those that others have locked are left out.
        """

    async def release(self, *, by: str) -> None:
        """Give back all endpoints that this sender has."""


class WebhookDeliveries(Protocol):
    """What was sent, or is to be."""

    async def add_many(self, deliveries: Sequence[Delivery], attempts: AttemptsMade) -> None:
        """Raise `Aborted` when an endpoint has a delivery at the position already."""

    async def save_many(self, deliveries: Sequence[Delivery], attempts: AttemptsMade) -> None:
        """Save deliveries that this transaction has locked, and add the attempts to their earlier ones."""

    async def get_many(
        self, endpoint_id: EndpointId, positions: Collection[int], *, lock: bool = False
    ) -> dict[int, Delivery]:
        """By position. With `lock`, locked in the order of their positions."""

    async def due(
        self, endpoint_id: EndpointId, moment: datetime, *, since: datetime | None = None, limit: int
    ) -> list[Delivery]:
        """Open deliveries whose next time has come, the one first that has waited longest. `since`: none is earlier."""

    async def skip_open(self, endpoint_id: EndpointId, why: Undelivered, *, at: datetime) -> None:
        """Skip all that are open."""

    async def standing(self, endpoint_id: EndpointId, *, since: datetime | None = None) -> tuple[datetime | None, bool]:
        """The next time of its open deliveries, and whether any delivery has not arrived, open or not.

        With `since`, none that is earlier is looked for, nor any that has ended: then one may not have arrived.
        """

    async def undelivered(self, endpoint_id: EndpointId, order_ids: Collection[OrderId]) -> list[Delivery]:
        """The deliveries about these orders that have not arrived, by position."""

    async def attempts(self, id_: DeliveryId) -> list[Attempt]:
        """All that were made, the oldest first."""

    async def of_order(self, order_id: OrderId, *, limit: int) -> list[Delivery]:
        """To all endpoints."""

    async def page(self, only: DeliveryFilter, *, before: DeliveryId | None, limit: int) -> list[Delivery]:
        """A page of those below `before`, by endpoint and then by position, the highest first."""

    async def count(self, endpoint_id: EndpointId, *, after: int, until: int, delivered: bool | None = None) -> int:
        """How many there are above a position, up to another: those that have arrived, those that have not, or all."""

    async def remove(self, endpoint_id: EndpointId, moment: datetime, *, after: int, limit: int) -> tuple[int, int]:
        """Remove those that ended before the moment, from the lowest position above `after` on, up to one that has not.

        Return how many, and the position of the last one; it is 0 if there is none.
        """
