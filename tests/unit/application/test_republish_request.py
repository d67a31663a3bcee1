"""A person on duty has the request of one order sent again."""

from datetime import timedelta

import pytest

from adapters.codecs.events import decode
from application.access.principal import SYSTEM, Principal
from application.access.scopes import Scope
from application.execution.conditional import OnlyIf, PreconditionFailed
from domain.errors import IllegalTransition
from domain.ids import OrderId
from tests.unit.shop import EXPIRY, Shop

ANA = Principal("ana", scopes=frozenset({Scope.ORDERS_WRITE}))


async def test_the_request_of_an_order_that_waits_is_sent_again_and_who_asked_is_kept(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    shop.store.outbox.clear()
    for _ in range(2):
        await shop.use_cases.republish_request(ANA, OnlyIf(order.id, lambda found: found.version == request.sequence))
    # The second time it was on its way already.
    assert [decode(entry.body) for entry in await shop.outbox()] == [request]
    [entry] = [each for each in shop.store.audit if each.action == "order.request_republished"]
    assert entry.by.key_id == "ana"


async def test_an_order_that_waits_for_nothing_or_has_changed_is_left_alone(shop: Shop) -> None:
    pen = await shop.sells()
    waiting, _ = await shop.payment_requested((pen, 1))
    paid = await shop.paid((pen, 1))
    shop.store.outbox.clear()
    with pytest.raises(PreconditionFailed):
        await shop.use_cases.republish_request(ANA, OnlyIf(waiting.id, lambda found: found.version == 1))
    with pytest.raises(IllegalTransition, match="PAID waits for no worker"):
        await shop.use_cases.republish_request(ANA, paid.id)
    assert await shop.outbox() == []


async def test_orders_that_wait_for_the_worker_are_listed_and_those_that_are_stuck(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.order((pen, 1))
    first, _ = await shop.payment_requested((pen, 1))
    second, _ = await shop.payment_requested((pen, 1))

    async def listed(*, stuck: bool) -> list[OrderId]:
        return [order.id for _, order in await shop.use_cases.list_waiting_orders(SYSTEM, stuck=stuck, limit=9)]

    waiting = sorted([first.id, second.id])
    assert (await listed(stuck=True), await listed(stuck=False)) == ([], waiting)
    shop.clock.forward(EXPIRY + timedelta(seconds=1))
    assert (await listed(stuck=True), await listed(stuck=False)) == (waiting, waiting)
    [(place, _), *rest] = await shop.use_cases.list_waiting_orders(SYSTEM, stuck=True, limit=9)
    assert await shop.use_cases.list_waiting_orders(SYSTEM, stuck=True, after=place, limit=9) == rest
