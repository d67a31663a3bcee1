"""Where an order stands, and what it waits for: in each status, and wherever its request may be."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve

from application.access.principal import SYSTEM, Forbidden, Principal
from application.access.scopes import CUSTOMER_SCOPES
from application.intake.queue_orders import Queued
from application.orders.change_jobs import ChangeQueued
from application.orders.explain_order import Explained
from application.orders.standing import Deadlines, WaitsFor, held_up_by, standing_of
from application.ports.outbox import Announcement
from domain.errors import UnknownOrder
from domain.ids import OrderId, UserId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.application.test_dead_letters import a_message, dead_letters_of
from tests.unit.builders import NOW
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request

DEADLINES = Deadlines(expiry=timedelta(minutes=30), stuck_after=timedelta(minutes=10))


async def why(shop: Shop, order: Order | OrderId) -> Explained:
    return await shop.use_cases.explain_order(SYSTEM, order.id if isinstance(order, Order) else order)


def said(explained: Explained) -> tuple[WaitsFor, str]:
    return explained.standing.waits_for, explained.standing.because


async def empty_outbox(shop: Shop) -> None:
    async with shop.unit_of_work() as tx:
        await tx.outbox.remove(await tx.outbox.page(after=None, limit=1000))


async def all_events(shop: Shop, order: Order) -> Sequence[Event]:
    return await shop.history(order)


async def test_every_status_says_whose_turn_it_is(shop: Shop) -> None:
    pen = await shop.sells(stock=100)
    told = {}
    placed = await shop.order((pen, 1))
    told[OrderStatus.PENDING] = await why(shop, placed)
    cancelled = await shop.order((pen, 1))
    await shop.use_cases.cancel_order(SYSTEM, cancelled.id)
    told[OrderStatus.CANCELLED] = await why(shop, cancelled)
    paid = await shop.paid((pen, 1))
    told[OrderStatus.PAID] = await why(shop, paid)
    await shop.use_cases.complete_order(SYSTEM, paid.id)
    told[OrderStatus.COMPLETED] = await why(shop, paid)
    waiting, _ = await shop.payment_requested((pen, 1))
    told[OrderStatus.PROCESSING] = await why(shop, waiting)
    assert {status: each.order.status for status, each in told.items()} == {status: status for status in told}
    assert {status: each.standing.waits_for for status, each in told.items()} == {
        OrderStatus.PENDING: WaitsFor.CUSTOMER,
        OrderStatus.CANCELLED: WaitsFor.NOBODY,
        OrderStatus.PAID: WaitsFor.SHOP,
        OrderStatus.COMPLETED: WaitsFor.NOBODY,
        OrderStatus.PROCESSING: WaitsFor.RELAY,
    }
    assert [step.what for step in told[OrderStatus.COMPLETED].steps] == [
        event.type for event in await all_events(shop, paid)
    ]


async def test_a_request_is_found_wherever_it_is(shop: Shop) -> None:
    pen = await shop.sells()
    order, request = await shop.payment_requested((pen, 1))
    assert said(await why(shop, order)) == (WaitsFor.RELAY, "its request waits in the outbox")

    async with shop.unit_of_work() as tx:
        [entry] = [each for each in await tx.outbox.page(after=None, limit=9) if each.type == request.type]
        await tx.waiting_work.put_off([entry])
    await empty_outbox(shop)
    assert said(await why(shop, order)) == (WaitsFor.RELAY, "the queue of the worker has refused its request")

    # The work has reached the worker, and the announcement of the same event is still refused by queues of others.
    async with shop.unit_of_work() as tx:
        await tx.waiting_work.remove([entry])
        refused = Announcement(entry=entry, attempts=3, since=NOW)
        await tx.announcements.put_off([refused])
    with_worker = await why(shop, order)
    assert said(with_worker) == (WaitsFor.WORKER, "its request was sent to the worker, and is not done yet")
    assert with_worker.beside == ["1 of its announcements wait: queues of others have refused them"]

    # A letter that has the id of the request, and is not what the shop has asked for, is not it.
    forged = evolve(request, at=request.at + timedelta(seconds=1))
    [other] = await dead_letters_of(shop, forged)
    assert said(await why(shop, order))[0] is WaitsFor.WORKER
    letters = await dead_letters_of(shop, request)
    [own] = [letter for letter in letters if letter != other]
    dead = await why(shop, order)
    assert said(dead) == (WaitsFor.DECISION, f"its request is dead letter {own}")
    assert f"dead letter {own}: {a_message(b'').reason}" in [step.what for step in dead.steps]
    assert [step.at for step in dead.steps] == sorted(step.at for step in dead.steps)


async def test_a_refund_is_waited_for_as_well(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    await empty_outbox(shop)
    await shop.refund_requested(order)
    assert said(await why(shop, order)) == (WaitsFor.RELAY, "its request waits in the outbox")


async def test_an_order_that_asked_for_nothing_needs_a_repair(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    held_up = held_up_by(None, None, None)
    assert standing_of(await shop.now(order), DEADLINES, held_up=held_up).waits_for is WaitsFor.REPAIR
    assert held_up_by(request, None, None) is None


async def test_deadlines_are_told_and_not_the_names_of_settings(shop: Shop) -> None:
    pen = await shop.sells()
    unpaid = await why(shop, await shop.order((pen, 1)))
    assert "its time to pay, 30 min," in unpaid.standing.next
    waiting, _ = await shop.payment_requested((pen, 1))
    await empty_outbox(shop)
    assert "when the order has waited for 10 min" in (await why(shop, waiting)).standing.next


async def test_an_order_that_is_not_recorded_waits_with_its_changes(shop: Shop) -> None:
    intakes = Intakes(shop)
    pen = await shop.sells()
    await intakes.learn_prices()
    queued = await intakes.queued.place_order(SYSTEM, a_request((pen, 1), user_id=1))
    assert isinstance(queued, Queued)
    change = await intakes.queued.cancel_order(SYSTEM, queued.order.id)
    assert isinstance(change, ChangeQueued)
    told = await intakes.queued.explain_order(SYSTEM, queued.order.id)
    assert said(told) == (WaitsFor.WORKER, "it was accepted and is not recorded yet")
    assert told.beside == [f"the change 'cancel' waits as job {change.job.id}"]
    assert [step.what for step in told.steps] == ["order.accepted", "the change 'cancel' was asked for"]


async def test_steps_follow_each_other_although_the_clock_of_the_worker_was_set_back(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    request = await shop.ask_for_payment(order)
    shop.clock.forward(-timedelta(days=1))
    await shop.process_payment([request])
    shop.clock.forward(timedelta(days=2))
    await shop.use_cases.complete_order(SYSTEM, order.id)
    steps = (await why(shop, order)).steps
    assert [step.what for step in steps] == [
        "order.placed",
        "order.payment_requested",
        "order.stock_reserved",
        "order.paid",
        "order.completed",
    ]


async def test_a_deleted_order_is_told_of_and_an_unknown_one_is_not(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    await shop.use_cases.delete_order(SYSTEM, order.id)
    assert said(await why(shop, order)) == (WaitsFor.NOBODY, "it was deleted")
    with pytest.raises(UnknownOrder):
        await why(shop, shop.new_id())


async def test_customers_are_not_told_what_is_inside(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1), user_id=1)
    with pytest.raises(Forbidden):
        await shop.use_cases.explain_order(Principal("ana", user_id=UserId(1), scopes=CUSTOMER_SCOPES), order.id)
