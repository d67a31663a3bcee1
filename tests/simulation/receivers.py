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
from domain.ids import EndpointId, OrderId
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, Undelivered

ENDPOINTS: Final = (
    NewEndpoint(url="https://all.example/", events=("*",)),
    NewEndpoint(url="https://some.example/", events=("order.placed", "order.paid", "order.cancelled")),
    NewEndpoint(url="https://moved.example/", events=("*",)),
)
# It says now and then that it is gone. Somebody looks at it, and lets it go on.
MOVED: Final = ENDPOINTS[2].url
_GONE: Final = Answer(status=410)
_FAILS: Final = (Answer(status=500), Answer(failure=AttemptFailure.TIMEOUT), Answer(failure=AttemptFailure.CONNECT))


@define(eq=False)
class Receivers:
    """Each takes what it gets, as a rule at once. An event may fail once at each: later attempts are far apart."""

    _chance: Random
    # By the URL: the ids of the events that were taken, in the sequence in which they were taken first.
    taken: dict[str, list[str]] = field(factory=lambda: {each.url: [] for each in ENDPOINTS}, init=False)
    # Those of them that say that an earlier event of their order is missing.
    gaps: set[tuple[str, str]] = field(factory=set, init=False)
    # By endpoint: the position up to which somebody has said that what waits is not to be sent any more.
    given_up: dict[EndpointId, int] = field(factory=dict, init=False)
    _failed: set[tuple[str, str]] = field(factory=set, init=False)
    _is_gone: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._is_gone = self._chance.randint(1, 2)

    async def answer(self, request: WebhookRequest) -> Answer:
        id_ = request.headers["webhook-id"]
        await asyncio.sleep(0.1 * self._chance.random())
        if "holdfast-gap" in request.headers:
            self.gaps.add((request.url, id_))
        may_fail = (request.url, id_) not in self._failed
        if may_fail and request.url == MOVED and self._is_gone and self._chance.random() < 0.2:
            self._failed.add((request.url, id_))
            self._is_gone -= 1
            return _GONE
        if may_fail and self._chance.random() < 0.15:
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
    """Each endpoint has each event that it wants once, its receiver got it, and the events of an order in sequence.

    Or somebody has given it up, and it is listed with this reason.
    """
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
            if delivery is not None and _is_given_up(delivery, receivers):
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


def hidden_gaps(store: MemoryStore, receivers: Receivers) -> Iterator[str]:
    """What comes after an event of its order that was given up says that one is missing."""
    missing: set[tuple[EndpointId, OrderId]] = set()
    for id_, (delivery, _) in sorted(store.webhook_deliveries.items()):
        url = store.webhook_endpoints[id_.endpoint_id].url
        if _is_given_up(delivery, receivers):
            missing.add((id_.endpoint_id, delivery.order_id))
        elif (id_.endpoint_id, delivery.order_id) in missing:
            name = f"{delivery.order_id}/{delivery.sequence}"
            if (url, name) not in receivers.gaps:
                yield f"{name} was delivered to {url}, and did not say that an earlier event is missing"


def _is_given_up(delivery: Delivery, receivers: Receivers) -> bool:
    is_listed = (delivery.status, delivery.reason) == (DeliveryStatus.SKIPPED, Undelivered.ENDPOINT_DISABLED)
    return is_listed and delivery.id.position <= receivers.given_up.get(delivery.id.endpoint_id, 0)
