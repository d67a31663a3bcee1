"""The audit: each change by a caller has one entry, written with the change."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from application.access.audit import ListActs
from application.access.manage_keys import NewKey
from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Role
from application.catalogue.add_products import NewProduct
from application.catalogue.adjust_stock import StockCall
from application.catalogue.change_product import ProductCall
from application.errors import Aborted
from application.execution.conditional import OnlyIf, PreconditionFailed
from application.execution.working_for import WorkingFor
from application.ports.audit import AuditEntry, Caller
from domain.catalogue.product import ProductEdit
from domain.errors import DomainError
from domain.ids import UserId
from domain.money import Money
from domain.orders.order import Order
from tests.unit.builders import NOW
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

ANA = Principal("ana", scopes=ALL_SCOPES)
OWNER = Principal("the owner", user_id=UserId(1), scopes=CUSTOMER_SCOPES)


async def audit_of(shop: Shop, since: int = 0) -> Sequence[AuditEntry]:
    return [entry for entry in await shop.use_cases.list_audit(ANA, limit=99) if entry.id > since]


@pytest.mark.parametrize(
    ("name", "action", "by", "change"),
    [
        ("cancel_order", "order.cancelled", OWNER, ({"status": "PENDING"}, {"status": "CANCELLED"})),
        ("delete_order", "order.deleted", OWNER, ({"deleted": False}, {"deleted": True})),
        ("complete_order", "order.completed", ANA, ({"status": "PAID"}, {"status": "COMPLETED"})),
        ("request_refund", "order.refund_requested", ANA, ({"refund_requested": False}, {"refund_requested": True})),
    ],
)
async def test_a_change_of_an_order_is_noted_once_with_who_and_what(
    shop: Shop, name: str, action: str, by: Principal, change: tuple[dict[str, object], dict[str, object]]
) -> None:
    pen = await shop.sells()
    order = await shop.paid((pen, 1)) if by is ANA else await shop.order((pen, 1))
    version = (await shop.now(order)).version
    since = len(shop.store.audit)
    for _ in range(2):
        with WorkingFor(["r1"]):
            await getattr(shop.use_cases, name)(by, order.id)
    [entry] = await audit_of(shop, since)
    assert (entry.by, entry.action, entry.subject) == (Caller(by.key_id, "r1"), action, f"order {order.id}")
    before, after = change
    assert entry.before == {**before, "version": version}
    assert entry.after == {**after, "version": version + 1}


async def test_callers_of_one_batch_are_told_apart(shop: Shop) -> None:
    pen = await shop.sells()
    orders = [await shop.order((pen, 1)) for _ in range(3)]
    since = len(shop.store.audit)
    calls = [OnlyIf(order.id, by=Caller(f"caller {place}", f"r{place}")) for place, order in enumerate(orders)]
    await shop.cancel_order(calls)
    told = {entry.subject: entry.by for entry in await audit_of(shop, since)}
    assert told == {f"order {call.order_id}": call.by for call in calls}


async def test_what_was_refused_or_expired_by_itself_is_not_noted(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    since = len(shop.store.audit)
    with pytest.raises(PreconditionFailed):
        await shop.use_cases.cancel_order(ANA, OnlyIf(order.id, lambda _: False))
    with pytest.raises(DomainError):
        await shop.use_cases.complete_order(ANA, order.id)
    assert await shop.is_open_for(timedelta(hours=1)) == [order.id]
    assert await audit_of(shop, since) == []


async def test_without_its_entry_a_change_is_not_made(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    since = len(shop.store.audit)
    shop.unsteady.to_come += [Trouble(Aborted("the commit failed"))] * 9
    with pytest.raises(Aborted):
        await shop.use_cases.cancel_order(ANA, order.id)
    shop.unsteady.to_come.clear()
    assert await shop.now(order) == order
    assert await audit_of(shop, since) == []
    assert isinstance(await shop.use_cases.cancel_order(ANA, order.id), Order)
    assert len(await audit_of(shop, since)) == 1


async def test_products_stock_and_keys_are_noted(shop: Shop) -> None:
    [product] = await shop.use_cases.add_products(ANA, [NewProduct(name="ink", price=Money(100, "EUR"), stock=3)])
    assert not isinstance(product, DomainError)
    await shop.use_cases.adjust_stock(ANA, [StockCall(product_id=product.id, delta=2, reason="delivery")])
    edit = ProductEdit(name="black ink")
    await shop.use_cases.change_product(ANA, ProductCall(product_id=product.id, edit=edit))
    issued = await shop.use_cases.create_key(ANA, NewKey(name="till", role=Role.SHOP))
    new = await shop.use_cases.rotate_key(ANA, issued.key.id, overlap=timedelta(0))
    await shop.use_cases.revoke_key(ANA, new.key.id)
    await shop.use_cases.revoke_key(ANA, new.key.id)
    revoked, rotated, created, changed, adjusted, added = await audit_of(shop)
    assert {entry.by for entry in (revoked, rotated, created, changed, adjusted, added)} == {Caller("ana")}
    assert (added.action, added.subject, added.after["stock"]) == ("product.added", f"product {product.id}", 3)
    assert (adjusted.before, adjusted.after, adjusted.reason) == ({"stock": 3}, {"stock": 5}, "delivery")
    assert (changed.action, changed.before, changed.after) == (
        "product.changed",
        {"name": "ink"},
        {"name": "black ink"},
    )
    assert (created.action, created.subject) == ("key.created", f"key {issued.key.id}")
    assert (rotated.subject, rotated.after["replaced_by"]) == (f"key {issued.key.id}", new.key.id)
    assert (revoked.action, revoked.subject) == ("key.revoked", f"key {new.key.id}")
    assert issued.token not in str(await audit_of(shop))


async def acts_of(shop: Shop, **asked: Any) -> list[tuple[str, str, int]]:
    found = await shop.use_cases.list_acts(ANA, limit=50, **asked)
    return [(act.entry.by.request_id, act.entry.subject, act.count) for act in found.acts]


async def add(shop: Shop, *entries: tuple[str, str]) -> None:
    """Entries of requests, about subjects."""
    async with shop.unit_of_work() as tx:
        await tx.audit.add_many(
            [AuditEntry(at=NOW, by=Caller("ana", request), action="a.b", subject=about) for request, about in entries]
        )


async def test_an_act_is_one_line_however_many_entries_it_has(shop: Shop) -> None:
    await add(shop, ("r1", "the first"), *(("r2", f"letter {number}") for number in range(600)), ("r3", "the last"))
    assert await acts_of(shop) == [("r3", "the last", 1), ("r2", "letter 599", 600), ("r1", "the first", 1)]


async def test_acts_at_the_same_time_are_two_lines(shop: Shop) -> None:
    await add(shop, ("r1", "1"), ("r2", "2"), ("r1", "3"), ("r2", "4"))
    assert await acts_of(shop) == [("r2", "4", 2), ("r1", "3", 2)]


async def test_what_no_request_made_is_never_one_act(shop: Shop) -> None:
    await add(shop, ("", "1"), ("", "2"))
    assert await acts_of(shop) == [("", "2", 1), ("", "1", 1)]


async def test_a_request_that_did_two_things_and_two_callers_with_one_request_id_are_two_lines(shop: Shop) -> None:
    """A client chooses the id of its request, and may choose that of another one."""
    await add(shop, ("r1", "1"), ("r1", "2"))
    async with shop.unit_of_work() as tx:
        entry = AuditEntry(at=NOW, by=Caller("ana", "r1"), action="c.d", subject="3")
        await tx.audit.add_many([entry, evolve(entry, by=Caller("bea", "r1"), subject="4")])
    assert await acts_of(shop) == [("r1", "4", 1), ("r1", "3", 1), ("r1", "2", 2)]


async def test_acts_of_one_kind_are_found_among_others(shop: Shop) -> None:
    await add(shop, ("r1", "1"), ("r1", "2"), ("r2", "3"))
    async with shop.unit_of_work() as tx:
        entry = AuditEntry(at=NOW, by=Caller("ana", "r1"), action="c.d", subject="4")
        await tx.audit.add_many([entry, evolve(entry, subject="5")])
    assert await acts_of(shop, action="c.d") == [("r1", "5", 2)]
    assert await acts_of(shop, action="a.b") == [("r2", "3", 1), ("r1", "2", 2)]
    assert await acts_of(shop, action="a") == []


async def test_acts_come_page_by_page_and_none_is_left_out(shop: Shop) -> None:
    await add(shop, *((f"r{number // 3}", str(number)) for number in range(30)))
    told: list[tuple[str, int]] = []
    before: int | None = None
    while True:
        found = await shop.use_cases.list_acts(ANA, before=before, limit=4)
        told += [(act.entry.by.request_id, act.count) for act in found.acts]
        before = found.looked_to
        if before is None:
            break
    assert told == [(f"r{number}", 3) for number in range(9, -1, -1)]


async def test_a_page_of_acts_looks_at_a_bounded_number_of_entries(shop: Shop) -> None:
    await add(shop, ("r1", "the first"), *(("r2", f"letter {number}") for number in range(25)))
    listed = ListActs(shop.unit_of_work, most=10)
    counts: list[int] = []
    before: int | None = None
    for _ in range(3):
        found = await listed(ANA, before=before, limit=50)
        counts += [act.count for act in found.acts]
        before = found.looked_to
    assert (counts, before) == ([10, 10, 5, 1], None)


async def test_a_key_is_named_to_the_shop_also_when_it_works_no_more(shop: Shop) -> None:
    issued = await shop.use_cases.create_key(ANA, NewKey(name="the till", role=Role.READ))
    await shop.use_cases.revoke_key(ANA, issued.key.id)
    asked = [issued.key.id, "anybody", "0123456789ab", "\0"]
    assert await shop.use_cases.name_keys(ANA, asked) == {issued.key.id: "the till"}
