from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve, fields

from application.access.guarded import Guarded
from application.access.manage_keys import NewKey
from application.access.principal import SYSTEM, Forbidden, Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, ROLES, Role, Scope
from application.admin.reset_shop import ResetNotAllowed
from application.assembly.use_cases import UseCases
from application.catalogue.add_products import NewProduct
from application.catalogue.adjust_stock import StockCall
from application.catalogue.change_product import ProductCall
from application.exports.get_export import Export, UnknownExport
from application.exports.request import ExportRequest
from application.imports.get_import import UnknownImport
from application.imports.request import ImportRequest
from application.intake.order_request import RequestedItem
from application.operations.bulk import BulkRequest, UnknownBulkOperation
from application.operations.bulk_operations import BulkOperation
from application.orders.find_by_id_part import IdPart
from application.ports.feed import EVERYTHING
from application.ports.files import StoredFile
from application.ports.order_search import OrderFilter
from application.ports.webhook_store import DeliveryFilter
from application.reconciliation.runs import REPAIR_NEEDS, UnknownReconciliation
from application.webhooks.deliveries import RecoverRequest
from application.webhooks.endpoints import NewEndpoint
from domain.cart import CartItem
from domain.catalogue.product import ProductEdit
from domain.dead_letter import UnknownDeadLetter
from domain.dead_letter_groups import CauseFilter
from domain.ids import EndpointId, JobId, ProductId
from domain.jobs.job import UnknownJob, new_job
from domain.money import Money
from domain.webhooks.delivery import DeliveryId, UnknownDelivery
from domain.webhooks.endpoint import UnknownEndpoint
from tests.brokers import payment_requested
from tests.unit.builders import NOW, an_api_key
from tests.unit.shop import Shop, a_request

A_KEY = NewKey(name="till", role=Role.READ, scopes=frozenset())
AN_EXPORT = Export(
    new_job(id=JobId(UUID(int=1)), kind="export", arguments={}, now=NOW),
    ExportRequest(what="orders", format="csv"),
    StoredFile(job_id=JobId(UUID(int=1)), name="export"),
)
REPAIRS = frozenset(REPAIR_NEEDS) - {Scope.RECONCILE}
A_BULK = BulkRequest(act="replay", only=CauseFilter())
A_BULK_JOB = BulkOperation(new_job(id=JobId(UUID(int=1)), kind="bulk", arguments={}, now=NOW), A_BULK, None)
AN_EVENT = payment_requested()
NO_ENDPOINT = EndpointId(UUID(int=1))
NEW = NewProduct(name="ink", price=Money(100, "EUR"), stock=1)

PAGE: dict[str, Any] = {"before": None, "limit": 9}


async def _done(call: Awaitable[Any]) -> bool:
    """Whether there is anything to list or to change: it was let in."""
    with suppress(
        UnknownReconciliation,
        UnknownJob,
        UnknownExport,
        UnknownImport,
        ResetNotAllowed,
        UnknownEndpoint,
        UnknownDelivery,
        UnknownDeadLetter,
        UnknownBulkOperation,
    ):
        await call
    return True


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


async def order_a_cart(use: Any, by: Principal, pen: Any, _: Any) -> Any:
    item = CartItem(product_id=pen.id, quantity=1, unit_price=pen.price)
    await use._operation._carts.change(1, lambda cart: cart.put(item))  # noqa: SLF001 - another scope may lack, too
    return await use(by, 1)


# Each operation that callers from outside may reach, as they call it, and the scope that it needs.
OPERATIONS: dict[str, tuple[Scope | None, Callable[[Any, Principal, Any, Any], Awaitable[Any]]]] = {
    "place_order": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, a_request((pen, 1)))),
    "get_order": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, order.id)),
    "await_version": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, order.id, version=1, seconds=0)),
    "list_orders": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, limit=9)),
    "find_by_id_part": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, IdPart(str(order.id)), limit=9)),
    "search_orders": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, OrderFilter(), limit=9)),
    "count_orders": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, most=9))),
    "check_order": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, [RequestedItem(pen.id, 1)])),
    "expand_order": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, order.id)),
    "get_history": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, order.id)),
    "show_waiting_changes": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, order.id)),
    "explain_order": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, order.id)),
    "list_waiting_orders": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, stuck=True, limit=9))),
    "republish_request": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "count_accepted": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by)),
    "measure_time_to_paid": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by)),
    "see_waiting": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by)),
    "see_upkeep": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by)),
    "see_provider": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by))),
    "see_queues": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by)),
    "cancel_order": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "change_details": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "complete_order": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "delete_order": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "request_payment": (Scope.PAYMENTS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "request_refund": (Scope.REFUNDS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "get_product": (None, lambda use, by, pen, order: use(by, ProductId(pen.id))),
    "list_products": (None, lambda use, by, pen, order: use(by, limit=9)),
    "products_by_name": (None, lambda use, by, pen, order: use(by, [pen.name])),
    "list_signing_keys": (None, lambda use, by, pen, order: _done(use(by))),
    "count_products": (None, lambda use, by, pen, order: use(by)),
    "post_message": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, "hello", order_id=order.id)),
    "list_messages": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, order_id=order.id, **PAGE))),
    "get_job": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, JobId(order.id))),
    "list_jobs": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, kind=None, status=None, **PAGE))),
    "count_jobs": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, kind=None, status=None))),
    "retry_job": (Scope.ORDERS_WRITE, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "cancel_job": (Scope.ORDERS_WRITE, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "reset_shop": (Scope.ADMIN, lambda use, by, pen, order: _done(use(by, "holdfast"))),
    "start_export": (
        Scope.ORDERS_READ,
        lambda use, by, pen, order: _done(use(by, ExportRequest(what="orders", format="csv"))),
    ),
    "get_export": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "read_export": (Scope.ORDERS_READ, lambda use, by, pen, order: _done(use(by, AN_EXPORT.file, at=0))),
    # What is imported decides which scope is needed.
    "start_import": (
        Scope.STOCK_ADJUST,
        lambda use, by, pen, order: use(by, ImportRequest(what="stock", format="csv"), _nothing()),
    ),
    "get_import": (None, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "read_results": (None, lambda use, by, pen, order: _done(use(by, AN_EXPORT.file, at=0))),
    "seed_orders": (Scope.ADMIN, lambda use, by, pen, order: use(by, 1)),
    "add_products": (Scope.PRODUCTS_WRITE, lambda use, by, pen, order: use(by, [NEW])),
    "list_acts": (Scope.AUDIT_READ, lambda use, by, pen, order: use(by, limit=9)),
    "list_audit": (Scope.AUDIT_READ, lambda use, by, pen, order: use(by, limit=9)),
    "create_key": (Scope.KEYS_WRITE, lambda use, by, pen, order: use(by, A_KEY)),
    "name_keys": (None, lambda use, by, pen, order: use(by, ["0123456789ab"])),
    "list_keys": (Scope.KEYS_WRITE, lambda use, by, pen, order: use(by, limit=9)),
    "rotate_key": (Scope.KEYS_WRITE, lambda use, by, pen, order: use(by, "0123456789ab", overlap=timedelta(0))),
    "revoke_key": (Scope.KEYS_WRITE, lambda use, by, pen, order: use(by, "0123456789ab")),
    "read_feed": (Scope.EVENTS_READ, lambda use, by, pen, order: use(by, after=None, only=EVERYTHING, limit=9)),
    "follow_feed": (Scope.EVENTS_READ, lambda use, by, pen, order: use(by, after=None, only=EVERYTHING)),
    "change_product": (
        Scope.PRODUCTS_WRITE,
        lambda use, by, pen, order: use(by, ProductCall(product_id=pen.id, edit=ProductEdit(price=1))),
    ),
    "adjust_stock": (
        Scope.STOCK_ADJUST,
        lambda use, by, pen, order: use(by, [StockCall(product_id=pen.id, delta=1, reason="delivery")]),
    ),
    "get_cart": (Scope.ORDERS_READ, lambda use, by, pen, order: use(by, 1)),
    "put_item": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, 1, pen.id, 2)),
    "empty_cart": (Scope.ORDERS_WRITE, lambda use, by, pen, order: use(by, 1)),
    "order_cart": (Scope.ORDERS_WRITE, order_a_cart),
    "add_endpoint": (
        Scope.WEBHOOKS_WRITE,
        lambda use, by, pen, order: use(by, NewEndpoint(url="https://receiver.example/", events=("*",))),
    ),
    "list_endpoints": (Scope.WEBHOOKS_WRITE, lambda use, by, pen, order: _done(use(by, limit=9))),
    **{
        name: (Scope.WEBHOOKS_WRITE, lambda use, by, pen, order, more=more: _done(use(by, NO_ENDPOINT, **more)))
        for name, more in {
            "get_endpoint": {},
            "change_endpoint": {"changes": {}},
            "delete_endpoint": {},
            "rotate_secret": {"previous_valid_for": timedelta(0)},
            "test_endpoint": {},
            "enable_endpoint": {"resume_from": "now"},
        }.items()
    },
    "list_deliveries": (Scope.WEBHOOKS_WRITE, lambda use, by, pen, order: _done(use(by, DeliveryFilter(), limit=9))),
    "get_delivery": (Scope.WEBHOOKS_WRITE, lambda use, by, pen, order: _done(use(by, DeliveryId(NO_ENDPOINT, 1)))),
    "resend_delivery": (Scope.WEBHOOKS_WRITE, lambda use, by, pen, order: _done(use(by, DeliveryId(NO_ENDPOINT, 1)))),
    "start_recovery": (
        Scope.WEBHOOKS_WRITE,
        lambda use, by, pen, order: _done(use(by, RecoverRequest(endpoint_id=NO_ENDPOINT, since=NOW))),
    ),
    "see_unsent": (Scope.WEBHOOKS_WRITE, lambda use, by, pen, order: use(by, order.id)),
    "group_dead_letters": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: use(by)),
    "list_dead_letters": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: _done(use(by, limit=9))),
    "find_letters": (
        Scope.DEAD_LETTERS_REPLAY,
        lambda use, by, pen, order: use(by, IdPart(str(order.id)), limit=9),
    ),
    "get_dead_letter": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: _done(use(by, 1))),
    "measure_bulk": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: use(by, A_BULK)),
    "start_bulk": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: use(by, A_BULK)),
    # The act says which scope it is.
    "list_bulk": (None, lambda use, by, pen, order: _done(use(by, limit=9))),
    "get_bulk": (None, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "stop_bulk": (None, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "read_items": (None, lambda use, by, pen, order: _done(use(evolve(by, scopes=ALL_SCOPES), A_BULK_JOB, at=0))),
    "replay_edited": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: _done(use(by, 1, AN_EVENT))),
    "try_dead_letter": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: _done(use(by, 1))),
    "replay_dead_letters": (Scope.DEAD_LETTERS_REPLAY, lambda use, by, pen, order: use(by, [1])),
    "discard_dead_letters": (Scope.DEAD_LETTERS_DISCARD, lambda use, by, pen, order: use(by, [1])),
    "start_reconciliation": (Scope.RECONCILE, lambda use, by, pen, order: use(by)),
    # It needs the scopes of what it does, too.
    "repair_discrepancies": (
        Scope.RECONCILE,
        lambda use, by, pen, order: _done(use(evolve(by, scopes=by.scopes | REPAIRS), JobId(order.id))),
    ),
    "list_reconciliations": (Scope.RECONCILE, lambda use, by, pen, order: _done(use(by, limit=9))),
    "get_reconciliation": (Scope.RECONCILE, lambda use, by, pen, order: _done(use(by, JobId(order.id)))),
    "read_discrepancies": (Scope.RECONCILE, lambda use, by, pen, order: _done(use(by, AN_EXPORT.file, at=0))),
    "list_stock": (Scope.STOCK_ADJUST, lambda use, by, pen, order: use(by, limit=9)),
    "see_stock": (Scope.STOCK_ADJUST, lambda use, by, pen, order: use(by, pen.id)),
    "list_adjustments": (Scope.STOCK_ADJUST, lambda use, by, pen, order: use(by, pen.id, limit=9)),
}
# What only Holdfast's own programs and commands do. No route reaches it.
INTERNAL = {
    "prune_keys",
    "authenticate",
    "console_sessions",
    "remove_sessions",
    "run_jobs",
    "remove_jobs",
    "remove_files",
    "read_export_pages",
    "refresh_prices",
    "shop_secret",
    "expire_orders",
    "consumers",
    "record_dead_letters",
    "relay_events",
    "give_positions",
    "prune_feed",
    "feed_tail",
    "send_webhooks",
    "remove_deliveries",
    "version_waits",
    "republish_requests",
    "compare_charges",
    "_batches",
}


def test_each_operation_is_guarded_or_internal(shop: Shop) -> None:
    guarded = {name for name in _names() if isinstance(getattr(shop.use_cases, name), Guarded)}
    assert guarded == OPERATIONS.keys()
    assert _names() == guarded | INTERNAL


@pytest.mark.parametrize("name", [name for name, (needs, _) in OPERATIONS.items() if needs])
async def test_an_operation_without_its_scope_is_refused_and_does_nothing(shop: Shop, name: str) -> None:
    needs, call = OPERATIONS[name]
    pen = await shop.sells()
    order = await shop.order((pen, 1))
    by = Principal("somebody", scopes=ALL_SCOPES - {needs})
    with pytest.raises(Forbidden, match=str(needs)):
        await call(getattr(shop.use_cases, name), by, pen, order)
    assert (await shop.now(order), await shop.stock_of(pen)) == (order, pen.stock)
    assert (len(shop.store.orders), len(shop.store.products)) == (1, 1)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_needs_its_scope_alone(shop: Shop, name: str) -> None:
    needs, call = OPERATIONS[name]
    pen = await shop.sells()
    paid = name in {"complete_order", "request_refund"}
    order = await shop.paid((pen, 1)) if paid else await shop.order((pen, 1))
    if name == "republish_request":
        await shop.use_cases.request_payment(SYSTEM, order.id)
    by = Principal("somebody", scopes=frozenset({needs} if needs else ()))
    shop.store.api_keys["0123456789ab"] = an_api_key(scopes=frozenset())
    assert await call(getattr(shop.use_cases, name), by, pen, order)


async def test_an_order_that_is_to_be_paid_at_once_needs_the_scope_of_payments_too(shop: Shop) -> None:
    request = evolve(a_request((await shop.sells(), 1)), pay=True)
    by = Principal("somebody", scopes=frozenset({Scope.ORDERS_WRITE}))
    with pytest.raises(Forbidden, match=Scope.PAYMENTS_WRITE):
        await shop.use_cases.place_order(by, request)
    assert shop.store.orders == {}
    assert await shop.use_cases.place_order(Principal("both", scopes=by.scopes | {Scope.PAYMENTS_WRITE}), request)


def test_roles_are_sets_of_scopes() -> None:
    assert ROLES.keys() == set(Role)
    assert ROLES[Role.ADMIN] == ALL_SCOPES
    assert ROLES[Role.CUSTOMER] == CUSTOMER_SCOPES
    # Nobody but an admin gives rights to others, or hides what was done.
    assert all(ROLES[role].isdisjoint({Scope.KEYS_WRITE, Scope.ADMIN}) for role in set(Role) - {Role.ADMIN})


def _names() -> set[str]:
    return {attribute.name for attribute in fields(UseCases)}
