"""Messages are not authenticated: whatever a stranger writes into one, the shop does what is due, and nothing else."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from attrs import define, field
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from application.ports.messaging import Delivery
from domain.errors import InvalidOrder
from domain.ids import OrderId, PaymentId, UserId
from domain.money import Money
from domain.orders.events import Event, OrderAccepted, PaymentRequested, RefundRequested
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.builders import NOW, a_line
from tests.unit.shop import Shop

PRICE = 1250


@define(eq=False)
class Scene:
    """A shop with an order in each state, and the requests of those that wait for the worker."""

    shop: Shop = field(factory=Shop)
    orders: dict[str, Order] = field(factory=dict)
    due: list[Event] = field(factory=list)

    async def begin(self) -> "Scene":
        shop = self.shop
        pen = await shop.sells(stock=8, price=PRICE)
        for name in ("pending", "cancelled", "deleted"):
            self.orders[name] = await shop.order((pen, 1))
        await shop.cancel_order([self.orders["cancelled"].id])
        await shop.delete_order([self.orders["deleted"].id])
        for name in ("paid", "completed", "refunded", "refunding"):
            self.orders[name] = await shop.paid((pen, 1))
        await shop.complete_order([self.orders["completed"].id])
        await shop.refund_order([await shop.refund_requested(self.orders["refunded"])])
        self.due.append(await shop.refund_requested(self.orders["refunding"]))
        shop.provider.declines = True
        self.orders["failed"], self.orders["tried again"] = [await shop.paid((pen, 1)) for _ in range(2)]
        shop.provider.declines = False
        self.due.append(await shop.ask_for_payment(self.orders["tried again"]))
        self.orders["processing"], request = await shop.payment_requested((pen, 2))
        self.due.append(request)
        return self

    async def deliver(self, messages: Sequence[Event]) -> None:
        for consumer in self.shop.use_cases.consumers:
            ours = [Delivery(each, attempt=1, tag=NOW) for each in messages if isinstance(each, consumer.work.events)]
            if ours:
                assert (await consumer.handle(ours)).retried == ()

    def state(self) -> object:
        store = self.shop.store
        return store.orders, store.products, store.payments, set(store.events), set(self.shop.provider.ledger)


NAMES = [
    "pending",
    "cancelled",
    "deleted",
    "paid",
    "completed",
    "refunded",
    "refunding",
    "failed",
    "tried again",
    "processing",
    "unknown",
]
AMOUNTS = st.builds(Money, st.integers(0, 2**53 - 1), st.sampled_from(["EUR", "USD"]))
UUIDS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))
# The order by its name, the kind, the sequence number, whose payment it names, and the amount.
FORGED = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from([PaymentRequested, RefundRequested]),
    st.integers(1, 8) | st.sampled_from([0, 2**31 - 1]),
    st.sampled_from(NAMES) | UUIDS,
    AMOUNTS,
)


Forged = tuple[str, type[Event], int, str | UUID, Money]


def forged(scene: Scene, message: Forged) -> Event:
    of, kind, sequence, payment, amount = message
    ids = {name: order.id for name, order in scene.orders.items()}
    payments = {name: scene.shop.store.orders[id_].payment_id for name, id_ in ids.items()}
    named = payment if isinstance(payment, UUID) else payments.get(payment)
    return kind(  # type: ignore[call-arg] - of the kinds that have a payment
        order_id=ids.get(of, OrderId(UUID(int=404))),
        sequence=sequence,
        at=NOW,
        payment_id=PaymentId(named or UUID(int=405)),
        amount=amount,
    )


@settings(max_examples=100, phases=(Phase.explicit, Phase.generate))
@given(messages=st.lists(FORGED, max_size=12), first=st.integers(0, 12))
def test_forged_requests_change_nothing(messages: list[Forged], first: int) -> None:
    """Some come before the real requests, some after them, some with them, and some under the ids of future ones."""

    async def play() -> None:
        honest, attacked = await Scene().begin(), await Scene().begin()
        await honest.deliver(honest.due)
        strange = [forged(attacked, message) for message in messages]
        await attacked.deliver(strange[:first])
        await attacked.deliver([*strange[first::2], *attacked.due, *strange[first + 1 :: 2]])
        # The customer pays after all: no message that came before may stand in the way.
        for scene in (honest, attacked):
            unpaid = [scene.orders[name] for name in ("pending", "failed")]
            await scene.deliver([await scene.shop.ask_for_payment(order) for order in unpaid])
        assert attacked.state() == honest.state()
        assert await attacked.shop.findings() == []
        assert (await attacked.shop.now(attacked.orders["pending"])).status is OrderStatus.PAID

    asyncio.run(play())


@settings(phases=(Phase.explicit, Phase.generate))
@given(
    name=st.sampled_from(NAMES),
    price=st.integers(0, 2**40).filter(lambda price: price != PRICE),
    currency=st.sampled_from(["EUR", "USD"]),
    honest_total=st.booleans(),
)
def test_no_order_is_recorded_at_a_price_that_a_stranger_names(
    name: str, price: int, currency: str, *, honest_total: bool
) -> None:
    async def play() -> None:
        scene = await Scene().begin()
        line = a_line(1, quantity=1, price=price, currency=currency)
        accepted = OrderAccepted(
            order_id=scene.orders[name].id if name in scene.orders else OrderId(UUID(int=404)),
            at=NOW,
            user_id=UserId(1),
            lines=(line,),
            total=Money(PRICE, "EUR") if honest_total else line.total,
        )
        before = scene.state()
        [outcome] = await scene.shop.persist_orders([accepted])
        assert isinstance(outcome, InvalidOrder) or name in scene.orders
        assert scene.state() == before

    asyncio.run(play())
