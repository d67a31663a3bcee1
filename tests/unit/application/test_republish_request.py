"""A person on duty has the request of one order sent again."""

from datetime import timedelta

import pytest

from adapters.codecs.events import decode
from application.access.principal import SYSTEM, Principal
from application.access.scopes import Scope
from application.execution.conditional import OnlyIf, PreconditionFailed
from domain.errors import IllegalTransition
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


async def test_orders_that_have_waited_for_too_long_are_listed(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.order((pen, 1))
    first, _ = await shop.payment_requested((pen, 1))
    second, _ = await shop.payment_requested((pen, 1))
    assert await shop.use_cases.list_stuck_orders(SYSTEM, limit=9) == []
    shop.clock.forward(EXPIRY + timedelta(seconds=1))
    found = await shop.use_cases.list_stuck_orders(SYSTEM, limit=9)
    assert [order.id for _, order in found] == sorted([first.id, second.id])
    place, _ = found[0]
    assert await shop.use_cases.list_stuck_orders(SYSTEM, after=place, limit=9) == found[1:]
