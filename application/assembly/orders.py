"""Orders: how they come in, change and are read."""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.guarded import Guarded, for_anybody, for_own_account, with_own_order
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import ChangeOrder, Shared
from application.execution.conditional import OrderCall
from application.execution.idempotency import Keyed, Replayed
from application.execution.shared_reads import SharedReads
from application.intake.check_order import CheckedOrder, CheckOrder
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.intake.refresh_prices import RefreshPrices
from application.orders.accept_changes import ShopSecret
from application.orders.await_version import AwaitVersion
from application.orders.cancel_order import CancelOrder
from application.orders.change_details import ChangeDetails
from application.orders.change_jobs import (
    CANCEL,
    CHANGE_DETAILS,
    COMPLETE,
    DELETE,
    PAY,
    REFUND,
    ChangeQueued,
)
from application.orders.complete_order import CompleteOrder
from application.orders.count_orders import CountOrders, ReadCount
from application.orders.delete_order import DeleteOrder
from application.orders.expand_order import ExpandedOrder, ExpandOrder
from application.orders.expire_orders import ExpireOrders
from application.orders.explain_order import Explained, ExplainOrder
from application.orders.find_by_id_part import FindByIdPart, FoundByIdPart
from application.orders.get_history import GetHistory
from application.orders.list_orders import ListOrders, ReadOrders
from application.orders.list_waiting import ListWaitingOrders
from application.orders.republish_request import RepublishRequest
from application.orders.search_orders import SearchOrders
from application.orders.standing import Deadlines
from application.orders.waiting_changes import OrderWithChanges, ShowWaitingChanges
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.broken import BrokenOrder
from application.ports.order_search import OrdersFound
from application.ports.persistence import WaitingPlace
from domain.orders.events import Event
from domain.orders.order import Order


@frozen(kw_only=True, slots=False)
class OrderUseCases:
    place_order: Callable[[Principal, OrderRequest | Keyed[OrderRequest]], Awaitable[Order | Queued | Replayed]]
    check_order: Callable[[Principal, Sequence[RequestedItem]], Awaitable[CheckedOrder]]
    get_order: Callable[[Principal, OrderCall], Awaitable[Order]]
    await_version: Guarded[..., Order]
    version_waits: AwaitVersion
    list_orders: Guarded[..., Sequence[Order | BrokenOrder]]
    search_orders: Guarded[..., OrdersFound]
    find_by_id_part: Guarded[..., FoundByIdPart]
    count_orders: Guarded[..., int]
    expand_order: Callable[[Principal, OrderCall], Awaitable[ExpandedOrder]]
    get_history: Callable[[Principal, OrderCall], Awaitable[Sequence[Event]]]
    show_waiting_changes: Callable[[Principal, OrderCall], Awaitable[OrderWithChanges]]
    explain_order: Guarded[..., Explained]
    cancel_order: ChangeOrder
    change_details: ChangeOrder
    complete_order: ChangeOrder
    delete_order: ChangeOrder
    request_payment: Callable[[Principal, OrderCall | Keyed[OrderCall]], Awaitable[Order | ChangeQueued | Replayed]]
    request_refund: ChangeOrder
    refresh_prices: RefreshPrices
    shop_secret: ShopSecret
    expire_orders: ExpireOrders
    list_waiting_orders: Guarded[..., Sequence[tuple[WaitingPlace, Order | BrokenOrder]]]
    republish_request: Callable[[Principal, OrderCall], Awaitable[Order]]


def order_use_cases(shared: Shared) -> OrderUseCases:
    uow, now, recent, unrecorded = shared.uow, shared.ports.now, shared.ports.recent_orders, shared.unrecorded
    get_order = Guarded(Scope.ORDERS_READ, with_own_order(shared.get_order))
    deadlines = Deadlines(expiry=shared.limits.order_expiry, stuck_after=shared.limits.stuck_after)
    explain = ExplainOrder(uow, unrecorded, shared.ports.overview, deadlines)
    version_waits = AwaitVersion(get_order, most=shared.limits.followers_max)
    return OrderUseCases(
        place_order=Guarded(Scope.ORDERS_WRITE, for_own_account(shared.intake)),
        check_order=Guarded(Scope.ORDERS_READ, for_anybody(CheckOrder(uow))),
        get_order=get_order,
        await_version=Guarded(Scope.ORDERS_READ, version_waits),
        version_waits=version_waits,
        list_orders=Guarded(Scope.ORDERS_READ, ListOrders(SharedReads(ReadOrders(uow, recent)))),
        find_by_id_part=Guarded(Scope.ORDERS_READ, FindByIdPart(uow, recent), by_shop=True),
        search_orders=Guarded(Scope.ORDERS_READ, SearchOrders(uow, recent)),
        count_orders=Guarded(Scope.ORDERS_READ, CountOrders(SharedReads(ReadCount(uow)))),
        expand_order=Guarded(Scope.ORDERS_READ, with_own_order(ExpandOrder(uow, recent, unrecorded))),
        get_history=Guarded(Scope.ORDERS_READ, with_own_order(GetHistory(uow, recent, unrecorded))),
        show_waiting_changes=Guarded(Scope.ORDERS_READ, with_own_order(ShowWaitingChanges(uow, shared.get_order))),
        explain_order=Guarded(Scope.ORDERS_READ, for_anybody(explain), by_shop=True),
        cancel_order=shared.changing(Scope.ORDERS_WRITE, CANCEL, CancelOrder(uow, now)),
        change_details=shared.changing(Scope.ORDERS_WRITE, CHANGE_DETAILS, ChangeDetails(uow, now)),
        complete_order=shared.changing(Scope.ORDERS_WRITE, COMPLETE, CompleteOrder(uow, now), by_shop=True),
        delete_order=shared.changing(Scope.ORDERS_WRITE, DELETE, DeleteOrder(uow, now)),
        request_payment=shared.changing_once(Scope.PAYMENTS_WRITE, PAY, RequestPayment(uow, now)),
        request_refund=shared.changing(Scope.REFUNDS_WRITE, REFUND, RequestRefund(uow, now)),
        refresh_prices=RefreshPrices(uow, shared.ports.price_list),
        shop_secret=shared.shop_secret,
        expire_orders=shared.expire_orders,
        list_waiting_orders=Guarded(
            Scope.ORDERS_READ, ListWaitingOrders(uow, now, shared.limits.stuck_after), by_shop=True
        ),
        republish_request=Guarded(Scope.ORDERS_WRITE, RepublishRequest(uow, unrecorded, now), by_shop=True),
    )
