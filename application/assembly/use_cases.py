"""Everything that the shop can do."""

from collections.abc import Mapping

from attrs import field, frozen

from application.assembly.access import AccessUseCases
from application.assembly.batches import Batches
from application.assembly.carts import CartUseCases
from application.assembly.catalogue import CatalogueUseCases
from application.assembly.exports import ExportUseCases
from application.assembly.feed import FeedUseCases
from application.assembly.imports import ImportUseCases
from application.assembly.jobs import JobUseCases
from application.assembly.messaging import MessagingUseCases
from application.assembly.operations import OperationsUseCases
from application.assembly.orders import OrderUseCases
from application.assembly.overview import OverviewUseCases
from application.assembly.shared import ChangeOrder
from application.assembly.upkeep import UpkeepUseCases
from application.assembly.webhooks import WebhookUseCases
from domain.orders.status import OrderStatus


@frozen(kw_only=True, slots=False)
class UseCases(
    OrderUseCases,
    CatalogueUseCases,
    CartUseCases,
    FeedUseCases,
    AccessUseCases,
    JobUseCases,
    ExportUseCases,
    ImportUseCases,
    MessagingUseCases,
    OperationsUseCases,
    WebhookUseCases,
    UpkeepUseCases,
    OverviewUseCases,
):
    """The use cases of every capability, each of which has a file here. Those that many call at once are batched.

    What callers from outside may reach takes the caller first, and stands behind the check of its scope. The others are
    for the programs and the commands of Holdfast alone.
    """

    _batches: Batches = field(alias="batches")

    @property
    def by_hand(self) -> Mapping[OrderStatus, ChangeOrder]:
        """The use case for each status that a shop sets by hand. No other status can be set from outside."""
        return {
            OrderStatus.CANCELLED: self.cancel_order,
            OrderStatus.COMPLETED: self.complete_order,
            OrderStatus.REFUNDED: self.request_refund,
        }

    @property
    def waiting(self) -> int:
        """How many callers wait for something to happen, without any work for it."""
        return self.feed_tail.count + self.version_waits.count

    def stop_waiting(self) -> None:
        """End every such wait, now and later. It would outlast a process that is told to stop."""
        self.feed_tail.close()
        self.version_waits.close()

    async def drained(self) -> None:
        """Wait until every call of a batched use case has its answer, even if its caller was cancelled."""
        await self._batches.drained()
