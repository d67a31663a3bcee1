from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.catalogue.list_products import ListProducts
from application.execution.idempotency import Keyed, Replayed
from application.intake.place_order import OrderRequest
from application.intake.queue_orders import Queued
from application.orders.get_history import GetHistory
from application.orders.list_orders import ListOrders
from domain.catalogue.product import Product
from domain.ids import OrderId, ProductId
from domain.orders.order import Order
from entrypoints.health import ServerHealth


@frozen
class Services:
    """Everything that the HTTP interface can ask for, one name a use case."""

    place_order: Callable[[OrderRequest | Keyed[OrderRequest]], Awaitable[Order | Queued | Replayed]]
    request_payment: Callable[[OrderId | Keyed[OrderId]], Awaitable[Order | Replayed]]
    cancel_order: Callable[[OrderId], Awaitable[Order]]
    complete_order: Callable[[OrderId], Awaitable[Order]]
    request_refund: Callable[[OrderId], Awaitable[Order]]
    delete_order: Callable[[OrderId], Awaitable[Order]]
    get_order: Callable[[OrderId], Awaitable[Order]]
    list_orders: ListOrders
    list_products: ListProducts
    get_product: Callable[[ProductId], Awaitable[Product]]
    get_history: GetHistory
    check_health: Callable[[], Awaitable[Sequence[ServerHealth]]]
