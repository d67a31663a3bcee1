"""A database was restored from a backup, and the provider has charged meanwhile."""

import asyncio
from copy import deepcopy
from datetime import timedelta
from typing import Any, Literal

import pytest
from attrs import fields

from adapters.memory.store import MemoryStore
from application.errors import Unavailable
from application.reconciliation.after_restore import CompareCharges, ComparedCharge
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.builders import NOW
from tests.unit.provider import Unruly
from tests.unit.shop import EXPIRY, Shop

_DATA = [each.name for each in fields(MemoryStore) if each.name not in {"now", "writing"}]


def backup_of(shop: Shop) -> dict[str, Any]:
    return {name: deepcopy(getattr(shop.store, name)) for name in _DATA}


def restore(shop: Shop, backup: dict[str, Any]) -> None:
    for name, kept in backup.items():
        setattr(shop.store, name, kept)


async def pay(shop: Shop, order: Order) -> Order:
    await shop.process_payment([await shop.ask_for_payment(order)])
    return await shop.now(order)


async def give_back(shop: Shop, order: Order) -> None:
    await shop.refund_order([await shop.refund_requested(order)])


async def compared(shop: Shop) -> list[tuple[object, object]]:
    found: list[ComparedCharge] = await shop.use_cases.compare_charges(NOW)
    return [(each.order_id, each.status) for each in found]


async def test_what_was_paid_since_the_backup_is_paid_again_and_charged_once(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    backup = backup_of(shop)
    paid = await pay(shop, order)
    restore(shop, backup)

    assert await compared(shop) == [(order.id, OrderStatus.PAID)]

    assert (await shop.now(order)).payment_id == paid.payment_id
    assert shop.provider.taken == order.total.minor
    assert await compared(shop) == [], "the second time there is nothing left to do"


async def test_attempts_that_were_declined_are_made_again_up_to_the_one_that_was_paid(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    backup = backup_of(shop)
    shop.provider.declines = True
    await pay(shop, order)
    await pay(shop, order)
    shop.provider.declines = False
    paid = await pay(shop, order)
    assert paid.status is OrderStatus.PAID
    restore(shop, backup)

    assert await compared(shop) == [(order.id, OrderStatus.PAID)]

    assert (await shop.now(order)).payment_id == paid.payment_id
    assert shop.provider.taken == order.total.minor


@pytest.mark.parametrize(("declined", "is_found"), [(15, True), (16, False)])
async def test_after_more_attempts_than_are_looked_for_a_charge_is_left_and_made_no_second_time(
    shop: Shop, declined: int, *, is_found: bool
) -> None:
    order = await shop.order((await shop.sells(), 1))
    backup = backup_of(shop)
    shop.provider.declines = True
    for _ in range(declined):
        await pay(shop, order)
    shop.provider.declines = False
    paid = await pay(shop, order)
    assert paid.status is OrderStatus.PAID
    restore(shop, backup)

    assert await compared(shop) == [(order.id, OrderStatus.PAID) if is_found else (None, None)]

    # Its customer tries again, until it is paid.
    while (await shop.now(order)).status is not OrderStatus.PAID:
        await pay(shop, order)
    assert (await shop.now(order)).payment_id == paid.payment_id
    assert shop.provider.taken == order.total.minor


async def test_what_was_paid_and_given_back_since_is_so_again(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    backup = backup_of(shop)
    await give_back(shop, await pay(shop, order))
    restore(shop, backup)

    assert await compared(shop) == [(order.id, OrderStatus.REFUNDED)]

    assert shop.provider.taken == 0


async def test_a_refund_since_the_backup_is_recorded_again(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    backup = backup_of(shop)
    await give_back(shop, order)
    restore(shop, backup)

    assert await compared(shop) == [(order.id, OrderStatus.REFUNDED)]
    assert await compared(shop) == []


async def test_a_charge_whose_order_is_lost_is_left_for_a_person(shop: Shop) -> None:
    pen = await shop.sells()
    backup = backup_of(shop)
    lost = await shop.paid((pen, 1))
    restore(shop, backup)

    assert await compared(shop) == [(None, None)]

    await shop.provider.refund(lost.payment, lost.total)


async def test_an_order_that_can_not_be_paid_any_more_is_left_for_a_person_and_not_charged_again(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    await shop.is_open_for(timedelta(seconds=1))
    expired = backup_of(shop)
    paid = await pay(shop, order)
    restore(shop, expired)
    await shop.is_open_for(2 * EXPIRY)
    assert (await shop.now(order)).status is OrderStatus.EXPIRED

    assert await compared(shop) == [(order.id, None)]

    assert shop.provider.taken == order.total.minor
    await shop.provider.refund(paid.payment, paid.total)


async def test_an_order_that_was_being_paid_in_the_backup_is_paid_by_the_worker(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    backup = backup_of(shop)
    await shop.process_payment([request])
    restore(shop, backup)

    assert await compared(shop) == []

    await shop.process_payment([request])
    assert (await shop.now(order)).status is OrderStatus.PAID
    assert shop.provider.taken == order.total.minor


@pytest.mark.parametrize("repeats", ["page", "pages"])
async def test_a_provider_that_repeats_itself_ends_the_comparison(
    shop: Shop, repeats: Literal["page", "pages"]
) -> None:
    pen = await shop.sells()
    for _ in range(4):
        await shop.paid((pen, 1))
    compare = CompareCharges(
        shop.unit_of_work,
        Unruly(shop.provider, repeats=repeats),
        shop.request_payment,
        shop.process_payment,
        shop.request_refund,
        shop.refund_order,
        page=2,
    )
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match="the same charges again and again"):
            await compare(NOW)


async def test_charges_from_before_the_backup_are_not_looked_for(shop: Shop) -> None:
    pen = await shop.sells()
    backup = backup_of(shop)
    lost = await shop.paid((pen, 1))
    restore(shop, backup)

    assert await shop.use_cases.compare_charges(NOW + timedelta(seconds=1)) == []

    await shop.provider.refund(lost.payment, lost.total)
