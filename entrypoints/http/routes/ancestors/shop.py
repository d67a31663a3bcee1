"""The shop with products, stock and payments. Its prices are in the units that people write, such as 12.5 euros."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import msgspec
from attrs import frozen
from msgspec import Meta, Struct
from quart import request

from adapters.codecs.ids import in_json
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.catalogue.add_products import NewProduct
from application.errors import Overloaded
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.orders.change_jobs import ChangeQueued
from application.ports.broken import sound
from application.ports.idempotency import scope_of
from domain.catalogue.product import MAX_COUNT, MAX_TEXT, Product
from domain.ids import ProductId
from domain.money import MAX_MINOR, Money
from domain.orders.limits import MAX_LINES, MAX_QUANTITY
from domain.orders.order import Order
from domain.orders.status import MAY_EXPIRE, WAITS_FOR_WORKER, OrderStatus
from entrypoints.currencies import DIGITS
from entrypoints.http.bodies.common import LookedThrough, NumberedId, WrittenCustomerId
from entrypoints.http.bodies.products import known_currency
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed
from entrypoints.http.ids import customer_id_of, order_id_of
from entrypoints.http.preconditions import GUARDS, only_if
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.ancestors.common import as_error, first_answer
from entrypoints.http.routes.route import Open, Route

# Seconds that `pay` waits for the worker at most.
_LONGEST: Final = 5.0
_LISTED: Final = 1000
# For a currency that was withdrawn, while a product is still priced in it.
_USUAL_DIGITS: Final = 2
_KEY: Final = frozenset({IDEMPOTENCY_KEY})


class NewProductBody(LookedThrough, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    price: Annotated[float, Meta(ge=0, le=MAX_MINOR)]
    stock: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 0
    currency: str | None = None


class ItemBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    product_id: NumberedId
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]


class PlaceBody(LookedThrough, frozen=True, forbid_unknown_fields=True, kw_only=True):
    user_id: WrittenCustomerId
    items: Annotated[tuple[ItemBody, ...], Meta(min_length=1, max_length=MAX_LINES)]
    idempotency_key: str | None = None


class PayBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    idempotency_key: str | None = None


class ProductBody(Struct, frozen=True):
    id: int
    name: str
    price: float
    stock: int
    created_at: datetime

    @classmethod
    def of(cls, product: Product) -> "ProductBody":
        return cls(product.id, product.name, _written(product.price), product.stock, product.created_at)


class LineBody(Struct, frozen=True):
    product_id: int
    quantity: int
    unit_price: float


class OrderBody(Struct, frozen=True):
    order_id: UUID
    user_id: int | str
    status: OrderStatus
    total_price: float
    items: list[LineBody]
    created_at: datetime

    @classmethod
    def of(cls, order: Order) -> "OrderBody":
        items = [LineBody(line.product_id, line.quantity, _written(line.unit_price)) for line in order.lines]
        return cls(order.id, in_json(order.user_id), order.status, _written(order.total), items, order.created_at)


_NEW: Final = msgspec.json.Decoder(NewProductBody)
_PLACE: Final = msgspec.json.Decoder(PlaceBody)
_PAY: Final = msgspec.json.Decoder(PayBody)


def shop_routes(prefix: str, use_cases: UseCases, currency: str) -> list[Route]:
    handlers = _Handlers(use_cases, currency)
    products, orders = f"{prefix}/products", f"{prefix}/orders"
    return [
        Route("GET", products, Open.TO_CALLERS, handlers.products, wording=as_error),
        Route(
            "POST",
            products,
            Scope.PRODUCTS_WRITE,
            handlers.add,
            honours=_KEY,
            body=_NEW,
            example=NewProductBody(name="pen", price=12.5, stock=10),
            wording=as_error,
        ),
        Route(
            "POST",
            orders,
            Scope.ORDERS_WRITE,
            handlers.place,
            honours=_KEY,
            body=_PLACE,
            example=PlaceBody(user_id=1, items=(ItemBody(1, 2),)),
            wording=as_error,
        ),
        Route("GET", f"{orders}/<order_id>", Scope.ORDERS_READ, handlers.get, wording=as_error),
        Route(
            "POST",
            f"{orders}/<order_id>/pay",
            Scope.PAYMENTS_WRITE,
            handlers.pay,
            honours=_KEY | GUARDS,
            body=_PAY,
            needs_body=False,
            waits=_LONGEST,
            wording=as_error,
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _currency: str

    async def products(self, by: Principal) -> Reply:
        products = await self._use_cases.list_products(by, limit=_LISTED)
        return reply([ProductBody.of(product) for product in sound(products)])

    async def add(self, by: Principal) -> Reply:
        body = await read_json(_NEW)
        new = NewProduct(name=body.name, price=_price(body, self._currency), stock=body.stock)
        [outcome] = await self._use_cases.add_products(by, [await keyed(new, scope="products")])
        if isinstance(outcome, Exception):
            raise outcome
        return reply(ProductBody.of(first_answer(outcome)), HTTPStatus.CREATED)

    async def place(self, by: Principal) -> Reply:
        body = await read_json(_PLACE)
        items = tuple(RequestedItem(ProductId(item.product_id), item.quantity) for item in body.items)
        wanted = OrderRequest(customer_id_of(body.user_id, in_body), items)
        call = await keyed(wanted, scope=scope_of(wanted.user_id), in_the_body=body.idempotency_key)
        outcome = await self._use_cases.place_order(by, call)
        order = outcome.order if isinstance(outcome, Queued) else first_answer(outcome)
        return reply(OrderBody.of(order), HTTPStatus.CREATED)

    async def get(self, by: Principal, order_id: str) -> Reply:
        return reply(OrderBody.of(await self._use_cases.get_order(by, order_id_of(order_id))))

    async def pay(self, by: Principal, order_id: str) -> Reply:
        """Its clients expect to hear what came of it: 202 is for a worker that takes longer than they wait."""
        id_ = order_id_of(order_id)
        body = await read_json_if_any(_PAY)
        key = None if body is None else body.idempotency_key
        call = await keyed(only_if(id_, request.headers), scope=f"order {id_}", in_the_body=key)
        outcome = await self._use_cases.request_payment(by, call)
        # Where orders are queued, the order may not be recorded yet, and its payment not be requested.
        order = outcome.order if isinstance(outcome, ChangeQueued) else first_answer(outcome)
        unsettled = WAITS_FOR_WORKER | MAY_EXPIRE if isinstance(outcome, ChangeQueued) else WAITS_FOR_WORKER
        order = await self._settled(by, order, unsettled)
        status = HTTPStatus.ACCEPTED if order.status in unsettled else HTTPStatus.OK
        return reply(OrderBody.of(order), status)

    async def _settled(self, by: Principal, order: Order, unsettled: Collection[OrderStatus]) -> Order:
        """Return the order when its payment has an outcome, or as it is when it is too late, or too many wait."""
        now = asyncio.get_running_loop().time
        until = now() + _LONGEST
        with suppress(Overloaded):
            while order.status in unsettled:
                wanted = order.version + 1
                order = await self._use_cases.await_version(by, order.id, version=wanted, seconds=until - now())
                if order.version < wanted:
                    break
        return order


def _written(money: Money) -> float:
    """The amount as people write it. A float shows it as it is: its digits are those of the currency."""
    return float(money.minor / 10 ** DIGITS.get(money.currency, _USUAL_DIGITS))


def _price(body: NewProductBody, usual: str) -> Money:
    """Raise `InvalidRequest` for an amount that the currency does not have."""
    currency = known_currency(usual if body.currency is None else body.currency)
    minor = round(body.price * 10 ** DIGITS[currency])
    if minor > MAX_MINOR or _written(price := Money(minor, currency)) != body.price:
        raise InvalidRequest(in_body("price", f"it is an amount of {currency}, as in 12.5"))
    return price
