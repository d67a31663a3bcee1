"""A customer sees and changes its own orders alone: to it, the orders of others do not exist."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from application.access.principal import SYSTEM, Forbidden, Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Scope
from application.assembly.use_cases import UseCases
from application.execution.conditional import OnlyIf
from application.execution.idempotency import Keyed, Replayed
from application.intake.queue_orders import Queued
from application.intake.unrecorded import NotYetRecorded
from application.orders.change_jobs import ChangeQueued
from application.orders.waiting_changes import OrderWithChanges
from application.ports.idempotency import IdempotencyKey, scope_of
from application.ports.order_search import OrderFilter
from domain.errors import UnknownOrder
from domain.ids import MAX_ID, CustomerId, OrderId, UserId, UserName
from domain.orders.events import AskedUnder
from domain.orders.order import Order
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request

OWNER = Principal("the owner", user_id=UserId(1), scopes=CUSTOMER_SCOPES)
STRANGER = Principal("a stranger", user_id=UserId(2), scopes=CUSTOMER_SCOPES)
NOWHERE = OrderId(UUID(int=404))

# What a customer may do with one order.
Operation = Callable[[UseCases, Principal, Any], Awaitable[Any]]
OPERATIONS: dict[str, Operation] = {
    "read": lambda shop, by, call: shop.get_order(by, call),
    "read all of it": lambda shop, by, call: shop.expand_order(by, call),
    "read its history": lambda shop, by, call: shop.get_history(by, call),
    "read its waiting changes": lambda shop, by, call: shop.show_waiting_changes(by, call),
    "pay": lambda shop, by, call: shop.request_payment(by, call),
    "change": lambda shop, by, call: shop.change_details(by, call),
    "cancel": lambda shop, by, call: shop.cancel_order(by, call),
    "delete": lambda shop, by, call: shop.delete_order(by, call),
}
operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def under_a_key(order_id: OrderId) -> Keyed[OrderId]:
    return Keyed(order_id, IdempotencyKey(f"order {order_id}", "monday"), "pay")


async def refusal(operation: Awaitable[Any]) -> str:
    with pytest.raises(UnknownOrder) as refused:
        await operation
    return str(refused.value)


@operations
@pytest.mark.parametrize("conditional", [False, True])
async def test_the_order_of_another_customer_does_not_exist(
    shop: Shop, operation: Operation, *, conditional: bool
) -> None:
    order = await shop.order((await shop.sells(), 1))

    def call(order_id: OrderId) -> object:
        return OnlyIf(order_id, lambda _: False) if conditional else order_id

    told = await refusal(operation(shop.use_cases, STRANGER, call(order.id)))
    unknown = await refusal(operation(shop.use_cases, STRANGER, call(NOWHERE)))
    assert told.replace(str(order.id), "it") == unknown.replace(str(NOWHERE), "it")
    assert await shop.now(order) == order


@operations
async def test_a_customer_uses_its_own_orders(shop: Shop, operation: Operation) -> None:
    order = await shop.order((await shop.sells(), 1))
    assert await operation(shop.use_cases, OWNER, order.id)


@operations
async def test_an_order_that_is_not_recorded_yet_is_its_owners_alone(shop: Shop, operation: Operation) -> None:
    intakes, pen = Intakes(shop), await shop.sells()
    await intakes.learn_prices()
    queued = await intakes.queued.place_order(OWNER, a_request((pen, 1)))
    assert isinstance(queued, Queued)
    await refusal(operation(intakes.queued, STRANGER, queued.order.id))
    try:
        told = await operation(intakes.queued, OWNER, queued.order.id)
    except NotYetRecorded:
        assert operation in {OPERATIONS["read all of it"], OPERATIONS["read its history"]}
    else:
        # A change waits.
        assert (told.order if isinstance(told, ChangeQueued | OrderWithChanges) else told) == queued.order


async def test_a_stored_response_is_not_replayed_to_another_customer(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    paid = await shop.use_cases.request_payment(OWNER, under_a_key(order.id))
    await refusal(shop.use_cases.request_payment(STRANGER, under_a_key(order.id)))
    assert await shop.use_cases.request_payment(OWNER, under_a_key(order.id)) == Replayed(paid)  # type: ignore[arg-type]


async def test_customers_in_one_batch_are_told_apart(shop: Shop) -> None:
    pen = await shop.sells()
    hers, his = await shop.order((pen, 1), user_id=1), await shop.order((pen, 1), user_id=2)
    calls = [OnlyIf(order.id, owner=UserId(owner)) for order in (hers, his) for owner in (1, 2)]
    outcomes = await shop.cancel_order(calls)
    assert [isinstance(outcome, Order) for outcome in outcomes] == [True, False, False, True]


async def test_a_customer_places_orders_for_itself_alone(shop: Shop) -> None:
    pen = await shop.sells()
    request = a_request((pen, 1), user_id=1)
    assert isinstance(await shop.use_cases.place_order(OWNER, request), Order)
    for call in (request, Keyed(request, IdempotencyKey("customer 1", "monday"), "the same")):
        with pytest.raises(Forbidden, match="customer 2"):
            await shop.use_cases.place_order(STRANGER, call)
    assert len(shop.store.orders) == 1


async def test_a_list_shows_a_customer_its_own_orders(shop: Shop) -> None:
    pen = await shop.sells()
    hers, his = await shop.order((pen, 1), user_id=1), await shop.order((pen, 1), user_id=2)
    list_orders = shop.use_cases.list_orders
    assert await list_orders(OWNER, limit=9) == await list_orders(OWNER, user_id=UserId(1), limit=9) == [hers]
    assert await list_orders(STRANGER, limit=9) == [his]
    assert len(await list_orders(SYSTEM, limit=9)) == 2
    search_orders, all_ = shop.use_cases.search_orders, OrderFilter(total_min=0)
    assert (await search_orders(STRANGER, all_, limit=9)).orders == [his]
    assert (await search_orders(STRANGER, OrderFilter(order_id=his.id), limit=9)).orders == [his]
    assert (await search_orders(OWNER, OrderFilter(order_id=his.id), limit=9)).orders == []
    assert len((await search_orders(SYSTEM, all_, limit=9)).orders) == 2
    with pytest.raises(Forbidden):
        await list_orders(STRANGER, user_id=UserId(1), limit=9)
    with pytest.raises(Forbidden):
        await search_orders(STRANGER, OrderFilter(user_id=UserId(1)), limit=9)


async def test_only_the_shop_completes_an_order(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    with pytest.raises(Forbidden):
        await shop.use_cases.complete_order(OWNER, order.id)
    assert await shop.use_cases.complete_order(SYSTEM, order.id)


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES - CUSTOMER_SCOPES))
def test_a_customer_has_no_scope_that_concerns_the_orders_of_others(scope: Scope) -> None:
    with pytest.raises(ValueError, match=scope):
        Principal("a customer", user_id=UserId(1), scopes=frozenset({scope}))


@pytest.mark.parametrize("user_id", [UserId(7), UserId(MAX_ID), UserName("auth0|Zoë" * 7)])
def test_a_customers_own_key_can_be_stored(user_id: CustomerId) -> None:
    """A scope is a column of 64 characters, and part of a message in ASCII."""
    own = under_a_key(OrderId(UUID(int=1))).key.of_customer(user_id)
    for key in (own, IdempotencyKey(scope_of(user_id), "now")):
        assert AskedUnder(scope=key.scope, key=key.value, fingerprint="f").scope == key.scope
