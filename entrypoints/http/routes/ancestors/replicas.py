"""The three replicas behind nginx: one request without a body places an order and pays for it."""

from typing import Final
from uuid import UUID

import msgspec
from attrs import frozen
from msgspec import Struct

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.ports.broken import sound
from domain.errors import InvalidOrder, UnknownOrder
from domain.ids import CustomerId, UserName
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, OrderStatus
from entrypoints.http.bodies.orders import PayBody
from entrypoints.http.decoding import read_json_if_any
from entrypoints.http.ids import order_id_of
from entrypoints.http.query import DEFAULT_LIMIT
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.ancestors.common import as_error, first_answer
from entrypoints.http.routes.route import Route

# Whose orders they are, unless a customer calls.
_CUSTOMER: Final[CustomerId] = UserName("demo")
_PLACED: Final = "placed"
# The newest ones.
_LISTED: Final = 1000
_NOTHING: Final = msgspec.json.Decoder(PayBody)


class OrderBody(Struct, frozen=True):
    order_id: UUID
    status: str


def replicas_routes(prefix: str, use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    return [
        Route(
            "POST",
            f"{prefix}/order/place",
            Scope.PAYMENTS_WRITE,
            handlers.place,
            body=_NOTHING,
            needs_body=False,
            wording=as_error,
        ),
        Route("GET", f"{prefix}/order/get/<order_id>", Scope.ORDERS_READ, handlers.get, wording=as_error),
        Route("GET", f"{prefix}/debug/orders", Scope.ORDERS_READ, handlers.listed, wording=as_error),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def place(self, by: Principal) -> Reply:
        await read_json_if_any(_NOTHING)
        products = sound(await self._use_cases.list_products(by, limit=DEFAULT_LIMIT))
        if not products:
            raise InvalidOrder("there is no product that could be ordered: add one first")
        demo = next((product for product in products if product.stock), products[0])
        items = (RequestedItem(demo.id, 1),)
        outcome = await self._use_cases.place_order(by, OrderRequest(by.user_id or _CUSTOMER, items, pay=True))
        order = outcome.order if isinstance(outcome, Queued) else first_answer(outcome)
        return reply(OrderBody(order.id, _PLACED))

    async def get(self, by: Principal, order_id: str) -> Reply:
        order = await self._use_cases.get_order(by, order_id_of(order_id))
        return reply(OrderBody(order.id, _status_of(order)))

    async def listed(self, by: Principal) -> Reply:
        # Their clients know of no order that can't be shown.
        orders = sound(await self._use_cases.list_orders(by, limit=_LISTED))
        if not orders:
            raise UnknownOrder("there are no orders")
        return reply([OrderBody(order.id, _status_of(order)) for order in orders])


def _status_of(order: Order) -> str:
    """In its words where it has one."""
    if order.status in HAS_MONEY:
        return "done"
    if order.status is OrderStatus.PROCESSING and order.holds_stock:
        return "processing"
    if order.status in {OrderStatus.PENDING, OrderStatus.PROCESSING}:
        return _PLACED
    return order.status.value.lower()
