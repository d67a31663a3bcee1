"""A shop with receivers of webhooks, whose answers a test chooses."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta

from attrs import define, evolve, field

from adapters.memory.webhooks import Answer
from application.access.principal import SYSTEM
from application.ports.webhook_store import DeliveryFilter
from application.ports.webhooks import WebhookRequest
from application.reconciliation.webhooks import CompareWebhooks
from application.webhooks.endpoints import NewEndpoint
from application.webhooks.finish import FinishRounds
from application.webhooks.rounds import Ended
from application.webhooks.send import SendWebhooks
from domain.ids import EndpointId
from domain.orders.order import Order
from domain.webhooks.delivery import Delivery
from domain.webhooks.endpoint import Endpoint
from domain.webhooks.progress import Progress
from tests.unit.shop import Shop

URL = "https://receiver.example/webhooks"
OK = Answer()
BROKEN = Answer(status=500)


@define(eq=False)
class Webhooks:
    """`answers` decides what the receiver at a URL answers; without one, it takes everything."""

    shop: Shop = field(factory=Shop)
    answers: dict[str, Callable[[WebhookRequest], Answer]] = field(factory=dict)
    sender: SendWebhooks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.shop.receivers.answer = self._answer
        self.sender = self.shop.use_cases.send_webhooks

    async def _answer(self, request: WebhookRequest) -> Answer:
        return self.answers.get(request.url, lambda _: OK)(request)

    def another_sender(self, name: str = "another", **more: int) -> SendWebhooks:
        shop = self.shop
        return SendWebhooks(
            shop.unit_of_work,
            shop.receivers,
            shop.ports.webhook_messages,
            shop.clock,
            shop.ports.elapsed,
            name,
            _alone(FinishRounds(shop.unit_of_work)),
            **more,
        )

    async def add(self, url: str = URL, **more: object) -> EndpointId:
        new = evolve(NewEndpoint(url=url, events=("*",)), **more)
        return (await self.shop.use_cases.add_endpoint(SYSTEM, new)).standing.endpoint.id

    async def orders(self, number: int = 1) -> list[Order]:
        """Orders that were placed and paid for: four events each."""
        pen = await self.shop.sells(stock=number)
        orders = [await self.shop.paid((pen, 1)) for _ in range(number)]
        await self.feed()
        return orders

    async def feed(self) -> None:
        await self.shop.use_cases.give_positions()

    async def send(self, sender: SendWebhooks | None = None) -> list[Ended]:
        """Until there is nothing more to do now."""
        sender, ended = sender or self.sender, []
        while True:
            found = await sender()
            ended += found
            if sender.is_idle and not found:
                return ended
            if not sender.is_idle:
                await sender.wait()

    async def pass_time(self, time: timedelta, *, step: timedelta = timedelta(minutes=1)) -> None:
        while time > timedelta(0):
            self.shop.clock.forward(min(step, time))
            time -= step
            await self.send()

    def received(self, url: str = URL) -> list[WebhookRequest]:
        return [request for request in self.shop.receivers.received if request.url == url]

    def sequences(self, url: str = URL) -> dict[str, list[int]]:
        """By order, the events in the sequence in which they were sent."""
        found = defaultdict(list)
        for request in self.received(url):
            order_id, _, sequence = request.headers["webhook-id"].partition("/")
            found[order_id].append(int(sequence))
        return found

    async def deliveries(self, id_: EndpointId) -> list[Delivery]:
        """In the order of their positions."""
        found = await self.shop.use_cases.list_deliveries(SYSTEM, DeliveryFilter(endpoint_id=id_), limit=1000)
        return list(found)[::-1]

    async def endpoint(self, id_: EndpointId) -> Endpoint:
        return self.shop.store.webhook_endpoints[id_]

    def progress(self, id_: EndpointId) -> Progress:
        return self.shop.store.webhook_progress[id_]

    async def findings(self) -> list[str]:
        return [each.what for each in await CompareWebhooks(self.shop.unit_of_work)()]


def _alone(work: FinishRounds) -> Callable[..., object]:
    async def finish(call: object) -> Ended:
        [ended] = await work([call])
        return ended

    return finish


def statuses(deliveries: Sequence[Delivery]) -> list[str]:
    return [each.status if each.reason is None else f"{each.status} {each.reason}" for each in deliveries]
