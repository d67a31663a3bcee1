"""The JSON of orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.codecs.ids import in_json
from application.intake.check_order import CheckedOrder
from application.intake.order_request import OrderRequest, RequestedItem
from application.ports.broken import BrokenOrder
from application.ports.order_search import OrderFilter
from domain.ids import ProductId
from domain.money import MAX_MINOR
from domain.orders.limits import MAX_LINES, MAX_QUANTITY, expect_within_limits
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.orders.status import SET_BY_HAND, FailureReason, OrderStatus
from entrypoints.http.bodies.common import NumberedId, WrittenCustomerId
from entrypoints.http.cursors import expect_form
from entrypoints.http.field_errors import Rule
from entrypoints.http.ids import customer_id_of
from entrypoints.http.moments import within_years
from entrypoints.http.order_details import AddressBody, Email, ExternalId, NewDetailsBody, shown
from entrypoints.http.query import DEFAULT_LIMIT, MAX_LIMIT
from entrypoints.http.refusals import InvalidRequest, in_body


class RequestedItemBody(Struct, frozen=True, forbid_unknown_fields=True):
    product_id: NumberedId
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
    # What the customer was shown. Another price now is refused.
    unit_price: Annotated[int, Meta(ge=0, le=MAX_MINOR)] | None = None

    def members(self) -> int:
        return 2 if self.unit_price is None else 3

    def requested(self) -> RequestedItem:
        return RequestedItem(ProductId(self.product_id), self.quantity, self.unit_price)


def _expect_within_limits(items: Sequence[RequestedItemBody]) -> None:
    expect_within_limits([(ProductId(item.product_id), item.quantity) for item in items])


RequestedItems = Annotated[
    tuple[RequestedItemBody, ...], Meta(min_length=1, max_length=MAX_LINES), Rule(_expect_within_limits)
]


class CheckOrderBody(Struct, frozen=True, forbid_unknown_fields=True):
    items: RequestedItems

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1 + sum(item.members() for item in self.items)


class PlaceOrderBody(NewDetailsBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    user_id: WrittenCustomerId
    items: RequestedItems
    pay: bool = False

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        members = 2 + self.pay + 2 * len(self.items) + self.members_of_details()
        # A loop, since each order comes here: a generator takes longer than all the rest.
        for item in self.items:
            if item.unit_price is not None:
                members += 1
        return members

    def to_request(self) -> OrderRequest:
        items = tuple(item.requested() for item in self.items)
        return OrderRequest(customer_id_of(self.user_id, in_body), items, self.pay, self.details())


class SearchOrdersBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is given must hold. Of several statuses or products one is enough."""

    user_id: WrittenCustomerId | None = None
    status: Annotated[tuple[OrderStatus, ...], Meta(max_length=len(OrderStatus))] = ()
    product_id: Annotated[tuple[NumberedId, ...], Meta(max_length=MAX_LINES)] = ()
    external_id: ExternalId | None = None
    email: Email | None = None
    placed_after: Annotated[datetime, Meta(tz=True)] | None = None
    placed_before: Annotated[datetime, Meta(tz=True)] | None = None
    total_min: Annotated[int, Meta(ge=0, le=MAX_MINOR)] | None = None
    total_max: Annotated[int, Meta(ge=0, le=MAX_MINOR)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: Annotated[str, Rule(expect_form)] | None = None

    def members(self) -> int:
        """How many members the JSON has, at least, when none is written twice."""
        return 0

    def wanted(self) -> OrderFilter:
        return OrderFilter(
            user_id=None if self.user_id is None else customer_id_of(self.user_id, in_body),
            statuses=frozenset(self.status),
            product_ids=frozenset(map(ProductId, self.product_id)),
            external_id=self.external_id,
            email=self.email,
            placed_after=None if self.placed_after is None else within_years(self.placed_after),
            placed_before=None if self.placed_before is None else within_years(self.placed_before),
            total_min=self.total_min,
            total_max=self.total_max,
        )


def status_set_by_hand(text: str) -> OrderStatus:
    """Return the status that an order is to get. Raise `InvalidRequest`."""
    if text not in SET_BY_HAND:
        allowed = ", ".join(sorted(SET_BY_HAND))
        raise InvalidRequest(
            in_body("status", f"it can be set to {allowed}; the service sets the others", "not_one_of")
        )
    return OrderStatus(text)


class ChangeStatusBody(Struct, frozen=True, forbid_unknown_fields=True):
    # Another status gets an answer that says which there are.
    status: Annotated[str, Meta(extra_json_schema={"enum": sorted(SET_BY_HAND)}), Rule(status_set_by_hand)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class PayBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing: the amount due is in the order."""

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 0


class OrderLineBody(Struct, frozen=True):
    product_id: int
    quantity: int
    unit_price: int

    @classmethod
    def of(cls, line: OrderLine) -> "OrderLineBody":
        return cls(line.product_id, line.quantity, line.unit_price.minor)


class OrderBody(Struct, frozen=True):
    order_id: UUID
    user_id: int | str
    status: OrderStatus
    total_price: int
    currency: str
    items: list[OrderLineBody]
    failure_reason: FailureReason | None
    out_of_stock: tuple[int, ...]
    refund_requested: bool
    created_at: datetime
    updated_at: datetime
    version: int
    external_id: str | None
    email: str | None
    shipping_address: AddressBody | None
    billing_address: AddressBody | None
    note: str | None
    metadata: Mapping[str, str]
    payment_method: str | None
    # The job of a change that waits until the order is recorded.
    job_id: UUID | UnsetType = UNSET

    @classmethod
    def of(cls, order: Order) -> "OrderBody":
        return cls(
            order.id,
            in_json(order.user_id),
            order.status,
            order.total.minor,
            order.total.currency,
            [OrderLineBody.of(line) for line in order.lines],
            order.failure_reason,
            order.out_of_stock,
            order.refund_requested,
            order.created_at,
            order.updated_at,
            order.version,
            *shown(order.details),
        )


class BrokenOrderBody(Struct, frozen=True):
    """An order that can't be shown, since what is stored of it breaks a rule of the shop."""

    order_id: UUID
    detail: str

    @classmethod
    def of(cls, order: BrokenOrder) -> "BrokenOrderBody":
        return cls(order.id, str(order))


class OrdersBody(Struct, frozen=True):
    items: list[OrderBody]
    next: str | None
    # Up to 10,000, where `count` asked for it.
    count: int | UnsetType = UNSET
    # Those that belong to this page and can't be shown, if there are any.
    broken: list[BrokenOrderBody] | UnsetType = UNSET


class CheckedLineBody(Struct, frozen=True):
    product_id: int
    quantity: int
    unit_price: int
    total_price: int
    in_stock: bool


class CheckedOrderBody(Struct, frozen=True):
    total_price: int
    currency: str
    in_stock: bool
    items: list[CheckedLineBody]

    @classmethod
    def of(cls, checked: CheckedOrder) -> "CheckedOrderBody":
        items = [
            CheckedLineBody(
                each.line.product_id,
                each.line.quantity,
                each.line.unit_price.minor,
                each.line.total.minor,
                each.in_stock,
            )
            for each in checked.lines
        ]
        return cls(checked.total.minor, checked.total.currency, checked.in_stock, items)
