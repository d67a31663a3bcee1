"""Carts."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.carts.change_cart import EmptyCart, GetCart, PutItem
from application.carts.order_cart import OrderCart
from application.execution.idempotency import Replayed
from application.intake.queue_orders import Queued
from domain.cart import Cart
from domain.ids import CustomerId
from domain.orders.order import Order


@frozen(kw_only=True, slots=False)
class CartUseCases:
    get_cart: Callable[[Principal, CustomerId], Awaitable[Cart]]
    put_item: Guarded[..., Cart]
    empty_cart: Guarded[..., Cart]
    order_cart: Guarded[..., Order | Queued | Replayed]


def cart_use_cases(shared: Shared) -> CartUseCases:
    carts = shared.ports.carts
    return CartUseCases(
        get_cart=Guarded(Scope.ORDERS_READ, GetCart(carts)),
        put_item=Guarded(Scope.ORDERS_WRITE, PutItem(carts, shared.get_product)),
        empty_cart=Guarded(Scope.ORDERS_WRITE, EmptyCart(carts)),
        order_cart=Guarded(Scope.ORDERS_WRITE, OrderCart(carts, shared.intake, shared.ports.new_id)),
    )
