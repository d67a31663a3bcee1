import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest
from attrs import define, field

from application.errors import OutcomeUnknown, Unavailable
from application.messaging.relay import RelayEvents
from application.ports.outbox import LEASE_SECONDS, Announcement, OutboxEntry
from domain.ids import OrderId
from domain.orders.events import OrderAccepted
from domain.orders.order import Order
from tests.unit.builders import NOW
from tests.unit.shop import Shop, types
from tests.unit.unsteady import Trouble


@define(eq=False)
class Broker:
    """A broker that records what it confirmed. `refuses` selects unconfirmed announcements, `breaks` when it fails."""

    refuses: Callable[[OutboxEntry], bool] = lambda _: False
    breaks: Callable[[OutboxEntry], bool] = lambda _: False
    # The same, of work that its queue does not take.
    full: Callable[[OutboxEntry], bool] = lambda _: False
    # Announcements after which the connection is lost, and an event without which no announcement is answered, or none
    # with this sequence number.
    loses: Callable[[OutboxEntry], bool] = lambda _: False
    hangs: asyncio.Event | None = None
    hangs_at: int | None = None
    work_breaks: bool = False
    # Work gets no confirm until this is set.
    confirms_work: asyncio.Event | None = None
    tried: list[OutboxEntry] = field(factory=list, init=False)
    enqueued: list[OutboxEntry] = field(factory=list, init=False)
    confirmed: list[OutboxEntry] = field(factory=list, init=False)

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        if self.work_breaks:
            # The announcements fail meanwhile.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            raise Unavailable("the broker is gone")
        if self.confirms_work is not None:
            await self.confirms_work.wait()
        taken = [entry for entry in entries if not self.full(entry)]
        self.enqueued += taken
        return taken

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        if any(map(self.breaks, entries)):
            raise Unavailable("the broker is gone")
        self.tried += entries
        if self.hangs is not None and self.hangs_at in {None, *(entry.id.sequence for entry in entries)}:
            await self.hangs.wait()
            if any(map(self.breaks, entries)):
                raise Unavailable("the broker is gone")
        if any(map(self.loses, entries)):
            raise OutcomeUnknown("the connection was lost")
        confirmed = [entry for entry in entries if not self.refuses(entry)]
        self.confirmed += confirmed
        return confirmed

    def of(self, order_id: OrderId) -> list[str]:
        return types([entry for entry in self.confirmed if entry.id.order_id == order_id])


async def _nothing(_: Sequence[OutboxEntry]) -> None: ...


def new_relay(
    shop: Shop,
    broker: Broker,
    *,
    limit: int = 512,
    after_claim: Callable[[Sequence[OutboxEntry]], Awaitable[None]] = _nothing,
) -> RelayEvents:
    return RelayEvents(shop.unsteady, broker, after_claim, shop.clock, "relay-1", limit=limit)


def waiting(shop: Shop) -> list[str]:
    """The announcements that were put off."""
    return types([each.announcement.entry for each in shop.store.announcements.values()])


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


def accepted(order: Order) -> OrderAccepted:
    return OrderAccepted(order_id=order.id, at=NOW, user_id=order.user_id, lines=order.lines, total=order.total)


async def test_an_accepted_order_that_is_sent_again_is_work_and_nothing_that_others_hear_of(shop: Shop) -> None:
    """Nobody can announce it, and so the other events of its order must not wait for that."""
    order, broker = await shop.paid((await shop.sells(), 1)), Broker(refuses=lambda entry: entry.id.sequence == 0)
    async with shop.unit_of_work() as tx:
        await tx.outbox.re_enqueue([accepted(order)])

    await relay(shop, broker)

    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert "order.accepted" in [entry.type for entry in broker.enqueued]
    assert (await shop.outbox(), waiting(shop)) == ([], [])


async def test_one_that_an_earlier_release_has_put_off_is_forgotten(shop: Shop) -> None:
    order, broker = await shop.order((await shop.sells(), 1)), Broker(refuses=lambda entry: entry.id.sequence == 0)
    async with shop.unit_of_work() as tx:
        await tx.outbox.re_enqueue([accepted(order)])
    [entry] = [each for each in await shop.outbox() if each.id.sequence == 0]
    async with shop.unit_of_work() as tx:
        await tx.outbox.remove([entry])
        await tx.announcements.put_off([Announcement(entry=entry, attempts=3, since=NOW)])

    step = new_relay(shop, broker)
    for _ in range(5):
        await step()
        shop.clock.forward(timedelta(minutes=1))
    await step.stop()

    assert broker.of(order.id) == ["placed"]
    assert (await shop.outbox(), waiting(shop), step.refused_since) == ([], [], None)


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

    assert await relay(shop, broker) == 8

    assert broker.of(stuck.id) == ["placed"]
    assert broker.of(other.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert await shop.outbox() == []
    assert waiting(shop) == ["payment_requested", "stock_reserved", "paid"]

    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))
    assert await relay(shop, broker) == 3
    assert broker.of(stuck.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert waiting(shop) == []


async def test_an_event_that_comes_later_waits_behind_the_refused_one(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda entry: entry.id.sequence == 2)
    await relay(shop, broker)
    await shop.process_payment([request])

    await relay(shop, broker)

    assert broker.of(order.id) == ["placed"]
    assert waiting(shop) == ["payment_requested", "stock_reserved", "paid"]
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))
    await relay(shop, broker)
    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]


async def test_a_later_event_goes_along_with_the_one_that_held_it_up(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda entry: entry.id.sequence == 2)
    await relay(shop, broker)
    await shop.process_payment([request])
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))

    await relay(shop, broker)

    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert waiting(shop) == []


@pytest.mark.parametrize("ends", ["the broker goes", "the relay stops"])
async def test_what_waited_behind_one_that_was_heard_follows_soon_although_the_round_was_cut_off(
    shop: Shop, ends: str
) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda entry: entry.id.sequence == 2)
    await relay(shop, broker)
    await shop.process_payment([request])
    await relay(shop, broker)
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))

    if ends == "the broker goes":
        broker.breaks = lambda entry: entry.id.sequence == 3
        with pytest.raises(Unavailable):
            await relay(shop, broker)
        broker.breaks = lambda _: False
    else:
        broker.hangs_at, broker.hangs = 3, asyncio.Event()
        await relay(shop, broker)
        broker.hangs = None
    assert broker.of(order.id) == ["placed", "payment_requested"]
    shop.clock.forward(timedelta(seconds=5))
    await relay(shop, broker)

    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert waiting(shop) == []


async def test_what_was_claimed_just_before_the_one_ahead_of_it_was_heard_follows_soon(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.payment_requested((pen, 1))
    order, request = await shop.payment_requested((pen, 1))
    stuck, _ = await shop.payment_requested((pen, 1))
    broker = Broker(refuses=lambda entry: entry.id.sequence == 2)
    await relay(shop, broker)
    broker.refuses = lambda entry: entry.id.order_id == stuck.id
    shop.clock.forward(timedelta(seconds=5))

    async def let_the_round_end(claimed: Sequence[OutboxEntry]) -> None:
        if claimed and broker.hangs is not None:
            broker.hangs.set()
            async with asyncio.timeout(60):
                while broker.of(order.id) != ["placed", "payment_requested"]:  # noqa: ASYNC110 - a task of the relay
                    await asyncio.sleep(0)

    step = new_relay(shop, broker, after_claim=let_the_round_end)
    # The first order is heard. So the next round tries the two others, and ends after the claim that follows.
    await step()
    broker.hangs = asyncio.Event()
    await step()
    await shop.process_payment([request])
    await step()
    broker.hangs = None
    for _ in range(3):
        shop.clock.forward(timedelta(seconds=5))
        await step()

    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]


@pytest.mark.parametrize("fault", ["refuses", "loses", "breaks"])
async def test_what_was_claimed_just_before_the_round_ahead_of_it_failed_overtakes_nothing(
    shop: Shop, fault: str
) -> None:
    order, broker, round_ends = await shop.order((await shop.sells(), 1)), Broker(), asyncio.Event()
    broker.hangs = round_ends

    async def let_the_round_end(claimed: Sequence[OutboxEntry]) -> None:
        if len(claimed) > 1 and not round_ends.is_set():
            round_ends.set()
            for _ in range(10):
                await asyncio.sleep(0)

    step = new_relay(shop, broker, after_claim=let_the_round_end)
    await step()
    setattr(broker, fault, lambda entry: entry.id.sequence == 1)
    await shop.ask_for_payment(order)
    with suppress(Unavailable):
        await step()
    assert round_ends.is_set()
    assert broker.of(order.id) == []

    setattr(broker, fault, lambda _: False)
    for _ in range(3):
        shop.clock.forward(timedelta(seconds=5))
        await step()
    assert broker.of(order.id) == ["placed", "payment_requested"]


async def test_a_refused_announcement_is_tried_ever_more_rarely(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True)
    step = new_relay(shop, broker)
    tried: list[float] = []

    for second in range(24 * 3600):
        if second % 5 == 0:
            before = len(broker.tried)
            await step()
            tried += [second] * (len(broker.tried) - before)
        shop.clock.forward(timedelta(seconds=1))

    assert len(tried) == 12
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    # Each delay begins with the next step, which stores it.
    assert gaps[:3] == [10, 25, 85]
    assert all(4 * 3600 <= gap <= 4 * 3600 + 60 for gap in gaps[6:])


async def test_the_first_that_is_taken_releases_the_others_soon(shop: Shop) -> None:
    pen, broker = await shop.sells(), Broker(refuses=lambda _: True)
    step = new_relay(shop, broker)
    for _ in range(40):
        await shop.order((pen, 1))
        await step()
        shop.clock.forward(timedelta(seconds=30))
    await step()
    assert step.refused_since is not None
    assert len(waiting(shop)) == 40
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(minutes=20))

    for _ in range(10):
        await step()

    assert len(broker.confirmed) == 40
    assert waiting(shop) == []
    assert step.refused_since is None


async def test_what_waited_behind_a_confirmed_one_does_not_wait_on_when_the_relay_dies(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    broker = Broker(refuses=lambda entry: entry.id.sequence == 2)
    await relay(shop, broker)
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))
    broker.hangs_at, broker.hangs = 3, asyncio.Event()
    dying = new_relay(shop, broker)
    await dying()
    await dying()
    assert waiting(shop) == ["stock_reserved", "paid"]

    broker.hangs = None
    shop.clock.forward(timedelta(seconds=LEASE_SECONDS + 1))
    other = RelayEvents(shop.unsteady, broker, _nothing, shop.clock, "relay-2")
    await other()
    await other.stop()
    await dying.stop()

    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]


async def test_one_that_is_taken_now_and_then_makes_nobody_hear_the_others_again_and_again(shop: Shop) -> None:
    pen, broker = await shop.sells(), Broker(refuses=lambda _: True)
    step = new_relay(shop, broker)
    for _ in range(50):
        await shop.order((pen, 1))
    # A queue with room for one, from which somebody takes one every minute.
    room = 1

    def refuses(_: OutboxEntry) -> bool:
        nonlocal room
        room -= 1
        return room < 0

    broker.refuses = refuses
    for _ in range(3 * 24 * 60):
        await step()
        shop.clock.forward(timedelta(minutes=1))
        room = 1

    assert waiting(shop) == []
    assert max(Counter(entry.id for entry in broker.tried).values()) <= 20


async def test_a_relay_whose_clock_is_ahead_puts_nothing_off_for_longer(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True)
    ahead = RelayEvents(shop.unsteady, broker, _nothing, lambda: shop.clock() + timedelta(hours=1), "relay-1")
    await ahead()
    await ahead.stop()
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))

    await relay(shop, broker)

    assert waiting(shop) == []


async def test_a_clock_that_was_a_year_ahead_puts_nothing_off_for_a_year(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True)
    shop.clock.forward(timedelta(days=366))
    await relay(shop, broker)
    shop.clock.forward(-timedelta(days=366))
    broker.refuses = lambda _: False

    await relay(shop, broker)

    assert types(broker.confirmed) == ["placed"]


async def test_work_is_not_held_up_by_announcements_without_an_answer(shop: Shop) -> None:
    pen, broker = await shop.sells(), Broker(hangs=asyncio.Event())
    await shop.payment_requested((pen, 1))
    step = new_relay(shop, broker)
    await step()
    for number in range(2, 6):
        await shop.payment_requested((pen, 1))
        async with asyncio.timeout(60):
            await step()
        assert len(broker.enqueued) == number

    assert broker.hangs is not None
    broker.hangs.set()
    await step.stop()
    step = new_relay(shop, broker)
    for _ in range(20):
        shop.clock.forward(timedelta(seconds=5))
        await step()
    assert sorted({entry.id for entry in broker.confirmed}) == sorted(shop.store.events)
    assert len({entry.id for entry in broker.enqueued}) == 5


async def test_a_round_that_failed_beside_failing_work_is_overtaken_by_nothing(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(breaks=lambda _: True, work_breaks=True)
    step = new_relay(shop, broker)
    with pytest.raises(Unavailable):
        await step()
    await shop.process_payment([request])
    broker.breaks, broker.work_breaks = lambda _: False, False

    await step()

    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]


async def test_work_is_enqueued_once_while_its_announcement_is_put_off(shop: Shop) -> None:
    await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True)
    step = new_relay(shop, broker)
    for _ in range(200):
        await step()
        shop.clock.forward(timedelta(seconds=1))
    assert types(broker.enqueued) == ["payment_requested"]


async def test_a_put_off_announcement_keeps_its_time_when_the_relay_dies_while_its_queue_takes_no_work(
    shop: Shop,
) -> None:
    order, _ = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda entry: entry.id.sequence == 2, full=lambda _: True)
    for _ in range(3):
        await relay(shop, broker)
    assert types(broker.tried) == ["placed", "payment_requested"]

    broker.refuses = broker.full = lambda _: False
    shop.clock.forward(timedelta(seconds=5))
    await relay(shop, broker)

    assert broker.of(order.id) == ["placed", "payment_requested"]
    assert types(broker.enqueued) == ["payment_requested"]
    assert waiting(shop) == []


async def test_work_that_waits_behind_another_announcement_is_announced_once_when_the_relay_has_died(
    shop: Shop,
) -> None:
    order, _ = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True, full=lambda _: True)
    await relay(shop, broker)
    assert waiting(shop) == ["placed", "payment_requested"]
    broker.refuses = lambda entry: entry.id.sequence == 2
    shop.clock.forward(timedelta(seconds=5))
    await relay(shop, broker)
    assert types(broker.tried) == ["placed", "placed", "payment_requested"]

    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))
    await relay(shop, broker)

    assert broker.of(order.id) == ["placed", "payment_requested"]
    assert waiting(shop) == []


async def test_an_announcement_is_heard_once_while_its_queue_takes_no_work(shop: Shop) -> None:
    await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(full=lambda _: True)
    step = new_relay(shop, broker)
    for _ in range(200):
        await step()
        shop.clock.forward(timedelta(seconds=1))
    assert types(broker.confirmed) == ["placed", "payment_requested"]
    assert types(await shop.waiting_work()) == ["payment_requested"]


async def test_what_may_have_been_heard_is_put_off_and_not_tried_again_at_once(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker(loses=lambda _: True)
    step = new_relay(shop, broker)
    for _ in range(4):
        await step()
        shop.clock.forward(timedelta(seconds=1))
    assert len(broker.tried) == 1
    broker.loses = lambda _: False
    shop.clock.forward(timedelta(seconds=5))
    await step()
    assert types(broker.confirmed) == ["placed"]


async def test_work_reaches_its_queue_whatever_becomes_of_announcements(shop: Shop) -> None:
    pen = await shop.sells()
    stuck, _ = await shop.payment_requested((pen, 1))
    broker = Broker(refuses=lambda _: True)

    await relay(shop, broker)

    assert [entry.id for entry in broker.enqueued] == [(stuck.id, 2)]


async def test_work_that_its_queue_refuses_stays_until_the_queue_takes_it(shop: Shop) -> None:
    order, _ = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(full=lambda _: True)
    step = new_relay(shop, broker)

    for _ in range(3):
        await step()
        shop.clock.forward(timedelta(seconds=1))
    assert types(await shop.waiting_work()) == ["payment_requested"]

    broker.full = lambda _: False
    for _ in range(3):
        shop.clock.forward(timedelta(seconds=5))
        await step()
    assert [entry.id for entry in broker.enqueued] == [(order.id, 2)]
    assert await shop.outbox() == await shop.waiting_work() == []


async def test_a_queue_that_refuses_more_than_a_claim_holds_up_no_other_event(shop: Shop) -> None:
    pen, broker = await shop.sells(stock=50), Broker()
    paid = await shop.paid((pen, 1))
    step = new_relay(shop, broker, limit=4)
    while await step():
        pass
    broker.full = lambda entry: entry.type == "order.payment_requested"
    for _ in range(10):
        await shop.payment_requested((pen, 1))
    await shop.refund_requested(paid)

    for _ in range(20):
        await step()

    assert types(broker.enqueued) == ["payment_requested", "refund_requested"]
    assert len(broker.confirmed) == 4 + 20 + 1
    assert await shop.outbox() == []
    assert types(await shop.waiting_work()) == ["payment_requested"] * 10

    broker.full = lambda _: False
    for _ in range(10):
        shop.clock.forward(timedelta(seconds=1))
        await step()
    assert len({entry.id for entry in broker.enqueued}) == len(broker.enqueued) == 12
    assert await shop.waiting_work() == []


async def test_of_the_work_that_waits_one_is_tried_while_its_queue_refuses(shop: Shop) -> None:
    pen, broker = await shop.sells(stock=50), Broker(full=lambda _: True)
    step, tries = new_relay(shop, broker), Counter[int]()
    broker.full = lambda entry: bool(tries.update([entry.id.sequence]) or True)
    for _ in range(10):
        await shop.payment_requested((pen, 1))
    await step()
    assert tries[2] == 10

    for _ in range(30):
        shop.clock.forward(timedelta(seconds=1))
        await step()

    assert tries[2] <= 10 + 30


async def test_a_request_that_its_queue_has_refused_is_not_put_into_the_outbox_again(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    await relay(shop, Broker(full=lambda _: True))

    async with shop.unit_of_work() as tx:
        await tx.outbox.re_enqueue([request])

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


async def test_another_relay_takes_over_from_one_that_waits_for_a_confirm(shop: Shop) -> None:
    """Its way to the broker may work."""
    await shop.paid((await shop.sells(), 1))
    hanging, broker = Broker(confirms_work=asyncio.Event()), Broker()
    waits = asyncio.create_task(new_relay(shop, hanging)())
    for _ in range(20):
        await asyncio.sleep(0)
    other = RelayEvents(shop.unsteady, broker, _nothing, shop.clock, "relay-2")
    assert await other() == 0

    shop.clock.forward(timedelta(seconds=LEASE_SECONDS + 1))
    await other()
    await other.stop()
    waits.cancel()

    assert types(broker.enqueued) == ["payment_requested"]
    assert await shop.outbox() == []


async def test_a_relay_that_another_one_has_followed_puts_nothing_off_any_more(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True)
    old = new_relay(shop, broker)
    await old()
    # It has seen the refusal, and has not written it down yet.
    broker.refuses = lambda _: False
    shop.clock.forward(timedelta(seconds=LEASE_SECONDS + 1))
    new = RelayEvents(shop.unsteady, broker, _nothing, shop.clock, "relay-2")
    await new()
    await new()
    await old()
    await shop.process_payment([request])
    await new()
    await new.stop()
    await old.stop()

    assert waiting(shop) == []
    assert broker.of(order.id) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert await shop.outbox() == []


async def test_a_relay_whose_lease_has_ended_while_nobody_followed_puts_off_what_was_refused(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    broker = Broker(refuses=lambda _: True)
    slow = new_relay(shop, broker)
    await slow()
    shop.clock.forward(timedelta(seconds=LEASE_SECONDS + 1))
    await slow()
    await slow.stop()

    assert waiting(shop) == ["placed"]
    assert types(broker.tried) == ["placed"]
