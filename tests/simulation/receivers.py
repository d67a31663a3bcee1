"""Receivers of webhooks, which outlive every process, and what must be true of what they got."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Final

from attrs import define, field

from adapters.memory.store import MemoryStore
from adapters.memory.webhooks import Answer
from application.ports.feed import FED_TYPES, types_among
from application.ports.webhooks import AttemptFailure, WebhookRequest
from application.webhooks.endpoints import NewEndpoint
from domain.webhooks.delivery import DeliveryId, DeliveryStatus

ENDPOINTS: Final = (
    NewEndpoint(url="https://all.example/", events=("*",)),
    NewEndpoint(url="https://some.example/", events=("order.placed", "order.paid", "order.cancelled")),
)
_FAILS: Final = (Answer(status=500), Answer(failure=AttemptFailure.TIMEOUT), Answer(failure=AttemptFailure.CONNECT))


@define(eq=False)
class Receivers:
    """Each takes what it gets, as a rule at once. An event may fail once at each: later attempts are far apart."""

    _chance: Random
    # By the URL: the ids of the events that were taken, in the sequence in which they were taken first.
    taken: dict[str, list[str]] = field(factory=lambda: {each.url: [] for each in ENDPOINTS}, init=False)
    _failed: set[tuple[str, str]] = field(factory=set, init=False)

    async def answer(self, request: WebhookRequest) -> Answer:
        id_ = request.headers["webhook-id"]
        await asyncio.sleep(0.1 * self._chance.random())
        if (request.url, id_) not in self._failed and self._chance.random() < 0.15:
            self._failed.add((request.url, id_))
            # It may have taken the event, and nobody hears of it.
            if self._chance.random() < 0.5:
                self._take(request.url, id_)
            return self._chance.choice(_FAILS)
        self._take(request.url, id_)
        return Answer()

    def _take(self, url: str, id_: str) -> None:
        if id_ not in self.taken[url]:
            self.taken[url].append(id_)


def on_their_way(store: MemoryStore) -> Iterator[str]:
    for id_, progress in store.webhook_progress.items():
        if progress.position < store.feed_given:
            yield f"webhook endpoint {id_} is at {progress.position} of {store.feed_given}"
    for delivery_id, (delivery, _) in store.webhook_deliveries.items():
        if delivery.is_open:
            yield f"webhook delivery {delivery_id} is still {delivery.status.value}"


def losses(store: MemoryStore, receivers: Receivers) -> Iterator[str]:
    """Each endpoint has each event that it wants once, its receiver got it, and the events of an order in sequence."""
    for id_, endpoint in store.webhook_endpoints.items():
        progress, wanted = store.webhook_progress[id_], types_among(FED_TYPES, endpoint.events)
        sequences: dict[str, list[int]] = {}
        for position, (event_id, _) in sorted(store.feed.items()):
            delivery, _ = store.webhook_deliveries.get(DeliveryId(id_, position), (None, ""))
            is_due = position > progress.began_after and store.events[event_id].type in wanted
            if not is_due:
                if delivery is not None:
                    yield f"webhook endpoint {id_} does not want position {position}, and has {delivery}"
                continue
            name = f"{event_id.order_id}/{event_id.sequence}"
            sequences.setdefault(str(event_id.order_id), []).append(event_id.sequence)
            if delivery is None or delivery.status is not DeliveryStatus.DELIVERED:
                yield f"webhook endpoint {id_} wants {name} at position {position}, and has {delivery}"
            elif name not in receivers.taken[endpoint.url]:
                yield f"{name} was delivered to {endpoint.url}, which never got it"
        for order_id, expected in sequences.items():
            got = [int(name.partition("/")[2]) for name in receivers.taken[endpoint.url] if name.startswith(order_id)]
            if [each for each in got if each in expected] != expected:
                yield f"{endpoint.url} got the events {got} of order {order_id} in place of {expected}"
