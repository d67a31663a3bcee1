from collections.abc import Callable, Sequence

import pytest
from attrs import define, field

from application.errors import Unavailable
from application.messaging.relay import RelayEvents
from application.ports.persistence import OutboxEntry
from domain.ids import OrderId
from tests.unit.shop import Shop, types
from tests.unit.unsteady import Trouble


@define(eq=False)
class Broker:
    """A broker that records what it confirmed. `refuses` selects unconfirmed announcements, `breaks` when it fails."""

    refuses: Callable[[OutboxEntry], bool] = lambda _: False
    breaks: Callable[[OutboxEntry], bool] = lambda _: False
    # The same, of work that its queue does not take.
    full: Callable[[OutboxEntry], bool] = lambda _: False
    enqueued: list[OutboxEntry] = field(factory=list, init=False)
    confirmed: list[OutboxEntry] = field(factory=list, init=False)

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        taken = [entry for entry in entries if not self.full(entry)]
        self.enqueued += taken
        return taken

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        if any(map(self.breaks, entries)):
            raise Unavailable("the broker is gone")
        confirmed = [entry for entry in entries if not self.refuses(entry)]
        self.confirmed += confirmed
        return confirmed

    def of(self, order_id: OrderId) -> list[str]:
        return types([entry for entry in self.confirmed if entry.id.order_id == order_id])


def new_relay(shop: Shop, broker: Broker, *, limit: int = 512) -> RelayEvents:
    return RelayEvents(shop.unsteady, broker, _nothing, "relay-1", limit=limit)


async def _nothing(_: Sequence[OutboxEntry]) -> None: ...


async def relay(shop: Shop, broker: Broker, *, limit: int = 512) -> int:
    """One step of a relay that is started and stopped."""
    step = new_relay(shop, broker, limit=limit)
    try:
        return await step()
    finally:
        await step.stop()


async def test_every_event_reaches_the_broker_those_of_an_order_in_their_order(shop: Shop) -> None:
    pen, broker = await shop.sells(), Broker()
    orders = [await shop.paid((pen, 1)) for _ in range(3)]

    assert await relay(shop, broker) == 12

    assert await shop.outbox() == []
    for order in orders:
        assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert await relay(shop, broker) == 0


async def test_a_limited_step_hands_over_the_oldest_first(shop: Shop) -> None:
    order, broker = await shop.paid((await shop.sells(), 1)), Broker()
    assert await relay(shop, broker, limit=3) == 3
    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved"]
    assert await relay(shop, broker, limit=3) == 1
    assert broker.of(order.id)[-1] == "paid"


async def test_an_unconfirmed_event_holds_back_the_later_ones_of_its_order_alone(shop: Shop) -> None:
    pen = await shop.sells()
    stuck, other = await shop.paid((pen, 1)), await shop.paid((pen, 1))
    broker = Broker(refuses=lambda entry: entry.id == (stuck.id, 2))

    assert await relay(shop, broker) == 5

    assert broker.of(stuck.id) == ["placed"]
    assert broker.of(other.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert types(await shop.outbox()) == ["payment_requested", "stock_reserved", "paid"]

    broker.refuses = lambda _: False
    assert await relay(shop, broker) == 3
    assert broker.of(stuck.id) == ["placed", "payment_requested", "stock_reserved", "paid"]


async def test_work_reaches_its_queue_whatever_becomes_of_announcements(shop: Shop) -> None:
    pen = await shop.sells()
    stuck, _ = await shop.payment_requested((pen, 1))
    broker = Broker(refuses=lambda _: True)

    await relay(shop, broker)

    assert [entry.id for entry in broker.enqueued] == [(stuck.id, 2)]


async def test_an_event_whose_queue_does_not_take_it_stays(shop: Shop) -> None:
    order, _ = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(full=lambda _: True)

    assert await relay(shop, broker) == 1
    assert types(await shop.outbox()) == ["payment_requested"]

    broker.full = lambda _: False
    assert await relay(shop, broker) == 1
    assert [entry.id for entry in broker.enqueued] == [(order.id, 2)]
    assert await shop.outbox() == []


async def test_when_the_broker_goes_midway_only_what_it_confirmed_is_gone_from_the_outbox(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    broker = Broker(breaks=lambda entry: entry.type == "order.stock_reserved")

    with pytest.raises(Unavailable):
        await relay(shop, broker)

    assert broker.of(order.id) == ["placed", "payment_requested"]
    assert types(await shop.outbox()) == ["stock_reserved", "paid"]


async def test_while_the_broker_is_gone_nothing_is_lost(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    before, broker = await shop.outbox(), Broker(breaks=lambda _: True)

    for _ in range(3):
        with pytest.raises(Unavailable):
            await relay(shop, broker)
    assert await shop.outbox() == before

    broker.breaks = lambda _: False
    await relay(shop, broker)
    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]


async def test_what_was_sent_is_removed_with_the_next_claim(shop: Shop) -> None:
    pen, broker = await shop.sells(), Broker()
    await shop.order((pen, 1))
    step = new_relay(shop, broker)

    assert await step() == 1
    assert types(await shop.outbox()) == ["placed"]
    await shop.order((pen, 1))
    assert await step() == 1
    assert types(broker.confirmed) == ["placed", "placed"]
    assert await step() == 0
    assert await shop.outbox() == []


async def test_what_was_sent_and_could_not_be_removed_is_removed_later(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker()
    step = new_relay(shop, broker)
    shop.unsteady.to_come.extend([None, Trouble(Unavailable("the database is gone"))])

    assert await step() == 1
    with pytest.raises(Unavailable):
        await step()
    assert await step() == 0

    assert types(broker.confirmed) == ["placed"]
    assert await shop.outbox() == []


async def test_what_was_sent_by_a_relay_that_is_gone_is_sent_again(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker()

    assert await new_relay(shop, broker)() == 1
    assert await relay(shop, broker) == 1

    assert types(broker.confirmed) == ["placed", "placed"]
    assert await shop.outbox() == []


async def test_the_broker_gets_the_bytes_of_the_database(shop: Shop) -> None:
    await shop.paid((await shop.sells(), 1))
    waiting, broker = await shop.outbox(), Broker()
    await relay(shop, broker)
    assert broker.confirmed == waiting
