from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from attrs import frozen

from adapters.memory.store import MemoryStore
from application.payments.provider_calls import silence_of
from application.ports.overview import ActiveRelay, FailingReceivers, Upkeep, Waiting, WaitingOrder
from application.ports.payments import ProviderReport, ProviderSilence
from domain.orders.events import OrderPaid
from domain.orders.order import Order
from domain.orders.status import WAITS_FOR_WORKER, OrderStatus
from domain.webhooks.delivery import DeliveryStatus
from domain.webhooks.endpoint import DISABLED_BY_SHOP


@frozen
class MemoryOverview:
    """Here are no processes."""

    _store: MemoryStore
    # Of those who call the provider.
    _reports: Sequence[Callable[[], ProviderReport]] = ()

    async def accepted(self, moments: Sequence[datetime], *, most: int) -> list[int]:
        placed = [order.created_at for order in self._store.orders.values() if not order.deleted]
        return [min(most, sum(start <= at < end for at in placed)) for start, end in pairwise(moments)]

    async def times_to_paid(self, *, events: int) -> list[timedelta]:
        newest = [
            event for position, (event, _) in self._store.feed.items() if position > self._store.feed_given - events
        ]
        paid = [event for id_ in newest if isinstance(event := self._store.events[id_], OrderPaid)]
        return [event.at - self._store.orders[event.order_id].created_at for event in paid]

    async def waiting(self, *, stuck_after: timedelta) -> Waiting:
        store, now = self._store, self._store.now()
        orders = sorted((order for order in store.orders.values() if _waits(order)), key=lambda order: order.updated_at)
        stuck = [order for order in orders if order.updated_at < now - stuck_after]
        refunds = sum(order.refund_requested for order in stuck)
        sending = [store.events[entry.id].at for _, entry in sorted(store.outbox.items())]
        oldest = orders[0] if orders else None
        return Waiting(
            outbox=len(store.outbox) + len(store.waiting_work),
            oldest_event=max(timedelta(0), now - sending[0]) if sending else timedelta(0),
            oldest_order=None if oldest is None else WaitingOrder(oldest.id, oldest.status, oldest.updated_at),
            orders=len(orders),
            dead_letters=sum(letter.decision is None for letter in store.dead_letters.values()),
            stuck={"PROCESSING": len(stuck) - refunds, "REFUND": refunds},
            webhook_lag=timedelta(0),
            failing_receivers=self._failing(),
            disabled_receivers=sum(
                each.disabled in DISABLED_BY_SHOP and each.deleted_at is None
                for each in store.webhook_endpoints.values()
            ),
        )

    def _failing(self) -> FailingReceivers | None:
        store = self._store
        found = sorted(
            (each.failing_since, id_)
            for id_, each in store.webhook_progress.items()
            if each.rests and each.failing_since is not None and store.webhook_endpoints[id_].is_served
        )
        if not found:
            return None
        since, first = found[0]
        tried = [
            each
            for each, _ in store.webhook_deliveries.values()
            if each.id.endpoint_id == first and each.status is DeliveryStatus.RETRYING and each.next_at is not None
        ]
        answer = min(tried, key=lambda each: each.next_at or since).outcome if tried else ""
        return FailingReceivers(number=len(found), since=since, answer=answer)

    async def upkeep(self) -> Upkeep:
        lease = self._store.leases.get("relay")
        relay = None
        if lease is not None and lease.until > self._store.now():
            relay = ActiveRelay(name=lease.holder, since=lease.since, until=lease.until)
        checked = self._store.checked
        return Upkeep(
            processes=(),
            relay=relay,
            discrepancies={kind: each.found for kind, each in checked.items()},
            checked_at=max((each.at for each in checked.values() if each.at), default=None),
        )

    async def provider_silence(self) -> ProviderSilence | None:
        return silence_of([report() for report in self._reports])


def _waits(order: Order) -> bool:
    asks_for_refund = order.refund_requested and order.status is not OrderStatus.REFUNDED
    return not order.deleted and (order.status in WAITS_FOR_WORKER or asks_for_refund)
