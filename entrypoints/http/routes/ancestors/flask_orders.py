"""The Flask service with queued writes: customers and products by name, and a status that may say anything.

Its status is a label beside that of the order, in the metadata of the order. Only `cancelled` does something.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import msgspec
from attrs import frozen
from msgspec import Meta, Struct

from application.access.principal import Principal
from application.access.scopes import Scope
from application.admin.seed_orders import MOST
from application.assembly.use_cases import UseCases
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import ChangeQueued
from application.ports.broken import sound
from domain.catalogue.product import MAX_TEXT
from domain.ids import MAX_NAME, CustomerId, JobId, OrderId, ProductId, customer_id
from domain.metadata import MAX_VALUE
from domain.money import Money
from domain.orders.details import NO_DETAILS
from domain.orders.limits import MAX_LINES, MAX_QUANTITY
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.field_errors import PRINTABLE
from entrypoints.http.ids import order_id_of
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.ancestors.common import as_error, first_answer
from entrypoints.http.routes.route import Route

_LISTED: Final = 1000
_CANCELLED: Final = "cancelled"
# The keys of the metadata: the label, and our status at the time it was given.
_LABEL: Final = "status_label"
_GIVEN_AT: Final = "status_label_at"
_IN_ITS_WORDS: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.PENDING: "received",
    OrderStatus.PAID: "processing",
}


class ItemBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=PRINTABLE)]
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]


class PlaceBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    customer_name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=PRINTABLE)]
    items: Annotated[tuple[ItemBody, ...], Meta(min_length=1, max_length=MAX_LINES)]


class StatusBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    status: Annotated[str, Meta(min_length=1, max_length=MAX_VALUE, pattern=PRINTABLE)]


class SeedBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    """The password is looked at before the rest is read (`authentication.py`)."""

    count: Annotated[int, Meta(ge=1, le=MOST)] = 100
    password: str | None = None
    admin_password: str | None = None


class ResetBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    password: str | None = None
    admin_password: str | None = None


class AdminJobBody(Struct, frozen=True):
    message: str
    job_id: UUID
    job_type: str
    status: str


class RemovedBody(Struct, frozen=True):
    message: str
    orders: int


class JobBody(Struct, frozen=True):
    """The job of an order has the id of the order: `/jobs/{job_id}` tells how it is."""

    job_id: UUID
    job_type: str
    status: str
    order_id: UUID


class OrderBody(Struct, frozen=True):
    order_id: UUID
    customer_name: str
    status: str
    items: list[ItemBody]
    created_at: datetime


class OrdersBody(Struct, frozen=True):
    total_orders: int
    orders: list[OrderBody]


_PLACE: Final = msgspec.json.Decoder(PlaceBody)
_STATUS: Final = msgspec.json.Decoder(StatusBody)
_SEED: Final = msgspec.json.Decoder(SeedBody)
_RESET: Final = msgspec.json.Decoder(ResetBody)


def flask_orders_routes(prefix: str, use_cases: UseCases, *, price_of_new: Money | None, namespace: str) -> list[Route]:
    """With a price, what is ordered by an unknown name becomes a product at that price."""
    handlers = _Handlers(use_cases, price_of_new, namespace)
    orders = f"{prefix}/orders"
    one = f"{orders}/<order_id>"
    return [
        Route(
            "POST",
            orders,
            Scope.ORDERS_WRITE,
            handlers.place,
            body=_PLACE,
            example=PlaceBody("Ann", (ItemBody("pen", 2),)),
            wording=as_error,
        ),
        Route("GET", orders, Scope.ORDERS_READ, handlers.listed, wording=as_error),
        Route("GET", one, Scope.ORDERS_READ, handlers.get, wording=as_error),
        Route(
            "PATCH",
            f"{one}/status",
            Scope.ORDERS_WRITE,
            handlers.change_status,
            body=_STATUS,
            example=StatusBody("completed"),
            wording=as_error,
        ),
        Route("DELETE", one, Scope.ORDERS_WRITE, handlers.delete, wording=as_error),
        Route(
            "POST",
            f"{prefix}/admin/seed",
            Scope.ADMIN,
            handlers.seed,
            body=_SEED,
            needs_body=False,
            example=SeedBody(count=100),
            wording=as_error,
        ),
        Route(
            "POST",
            f"{prefix}/admin/reset",
            Scope.ADMIN,
            handlers.reset,
            body=_RESET,
            needs_body=False,
            wording=as_error,
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _price_of_new: Money | None
    _namespace: str

    async def place(self, by: Principal) -> Reply:
        body = await read_json(_PLACE)
        customer = _customer(body.customer_name)
        names = [item.name for item in body.items]
        products = await self._use_cases.products_by_name(by, names, add_at=self._price_of_new)
        items = tuple(
            RequestedItem(product.id, item.quantity) for product, item in zip(products, body.items, strict=True)
        )
        outcome = await self._use_cases.place_order(by, OrderRequest(customer, items))
        order = outcome.order if isinstance(outcome, Queued) else first_answer(outcome)
        return _accepted("create", order.id)

    async def listed(self, by: Principal) -> Reply:
        orders, total = await asyncio.gather(
            self._use_cases.list_orders(by, limit=_LISTED), self._use_cases.count_orders(by)
        )
        # Their clients know of no order that can't be shown. `total` has it.
        return reply(OrdersBody(total, await self._shown(by, sound(orders))))

    async def get(self, by: Principal, order_id: str) -> Reply:
        order = await self._use_cases.get_order(by, order_id_of(order_id))
        [shown] = await self._shown(by, [order])
        return reply(shown)

    async def change_status(self, by: Principal, order_id: str) -> Reply:
        id_ = order_id_of(order_id)
        status = (await read_json(_STATUS)).status
        if status.lower() == _CANCELLED:
            cancelled = await self._use_cases.cancel_order(by, id_)
            if isinstance(cancelled, ChangeQueued):
                return _accepted("update_status", id_, cancelled.job.id)
            order = cancelled
        else:
            order = await self._use_cases.get_order(by, id_)
        job_id = None
        if status != _status_of(order):
            label = {_LABEL: status, _GIVEN_AT: order.status.value}
            job_id = _job_of(await self._use_cases.change_details(by, DetailsChange(id_, changes={"metadata": label})))
        return _accepted("update_status", id_, job_id)

    async def delete(self, by: Principal, order_id: str) -> Reply:
        id_ = order_id_of(order_id)
        return _accepted("delete", id_, _job_of(await self._use_cases.delete_order(by, id_)))

    async def seed(self, by: Principal) -> Reply:
        body = await read_json_if_any(_SEED) or SeedBody()
        job = await self._use_cases.seed_orders(by, body.count)
        message = f"Seeding {body.count} example orders."
        return reply(AdminJobBody(message, job.id, "seed", "queued"), HTTPStatus.ACCEPTED)

    async def reset(self, by: Principal) -> Reply:
        """That system asked for nothing but its password, so the shop that is confirmed is this one."""
        await read_json_if_any(_RESET)
        removed = await self._use_cases.reset_shop(by, self._namespace)
        return reply(RemovedBody("All orders have been removed", removed))

    async def _shown(self, by: Principal, orders: Sequence[Order]) -> list[OrderBody]:
        names = await self._names(by, {line.product_id for order in orders for line in order.lines})
        return [
            OrderBody(
                order.id,
                str(order.user_id),
                _status_of(order),
                [ItemBody(names[line.product_id], line.quantity) for line in order.lines],
                order.created_at,
            )
            for order in orders
        ]

    async def _names(self, by: Principal, ids: Iterable[ProductId]) -> Mapping[ProductId, str]:
        products = await asyncio.gather(*(self._use_cases.get_product(by, id_) for id_ in ids))
        return {product.id: product.name for product in products}


def _customer(name: str) -> CustomerId:
    """Raise `InvalidRequest`."""
    try:
        return customer_id(name)
    except ValueError as error:
        raise InvalidRequest(in_body("customer_name", str(error))) from None


def _accepted(job_type: str, order_id: OrderId, job_id: JobId | None = None) -> Reply:
    return reply(JobBody(job_id or order_id, job_type, "queued", order_id), HTTPStatus.ACCEPTED)


def _job_of(outcome: Order | ChangeQueued) -> JobId | None:
    """The job of a change that waits for its order."""
    return outcome.job.id if isinstance(outcome, ChangeQueued) else None


def _status_of(order: Order) -> str:
    """The label, as long as the order has the status in which it was given. There, no order expires."""
    metadata = (order.details or NO_DETAILS).metadata
    given_at = OrderStatus.PENDING if order.status is OrderStatus.EXPIRED else order.status
    if metadata.get(_GIVEN_AT) in {order.status, given_at} and _LABEL in metadata:
        return metadata[_LABEL]
    return _IN_ITS_WORDS.get(order.status, order.status.value.lower())
