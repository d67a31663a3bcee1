"""The JSON of requests and responses. Amounts are in minor units, times are RFC 3339 in UTC."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict as members_of

from adapters.codecs.announced import data_of
from adapters.codecs.ids import in_json
from application.access.manage_keys import MAX_NAME as MAX_KEY_NAME
from application.access.manage_keys import MAX_NETWORKS, IssuedKey, NewKey
from application.access.scopes import Role, Scope
from application.admin.seed_orders import MOST as MOST_EXAMPLES
from application.catalogue.add_products import NewProduct
from application.intake.check_order import CheckedOrder
from application.intake.place_order import OrderRequest, RequestedItem
from application.orders.expand_order import ExpandedOrder
from application.ports.api_keys import ApiKey
from application.ports.audit import AuditEntry
from application.ports.feed import FeedItem
from application.ports.order_search import OrderFilter
from domain.cart import Cart, CartItem
from domain.catalogue.product import (
    KEEP,
    MAX_COUNT,
    MAX_SKU,
    MAX_STOCK,
    MAX_TEXT,
    Product,
    ProductEdit,
    StockAdjustment,
)
from domain.ids import MAX_ID, MAX_NAME, CustomerId, ProductId
from domain.jobs.job import Job, JobStatus
from domain.message import MAX_CONTENT, Message
from domain.money import MAX_MINOR, Money
from domain.orders.events import Event, OrderRefunded, PaymentRequested, RefundRequested
from domain.orders.limits import MAX_LINES, MAX_QUANTITY
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.orders.status import SET_BY_HAND, FailureReason, OrderStatus
from domain.payments.payment import PaymentStatus
from entrypoints.currencies import DIGITS, UNKNOWN
from entrypoints.http.field_errors import PRINTABLE
from entrypoints.http.ids import customer_id_of
from entrypoints.http.moments import within_years
from entrypoints.http.order_details import AddressBody, Email, ExternalId, NewDetailsBody, shown
from entrypoints.http.query import DEFAULT_LIMIT, MAX_LIMIT
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.readiness import Readiness

NumberedId = Annotated[int, Meta(ge=1, le=MAX_ID)]
WrittenCustomerId = NumberedId | Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=PRINTABLE)]


class _LookedThrough(Struct, frozen=True, forbid_unknown_fields=True):
    """A body with members that may be left out, whose number is not known. So each is looked through for doubles."""

    def members(self) -> int:
        return -1


class RequestedItemBody(Struct, frozen=True, forbid_unknown_fields=True):
    product_id: NumberedId
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
    # What the customer was shown. Another price now is refused.
    unit_price: Annotated[int, Meta(ge=0, le=MAX_MINOR)] | None = None

    def members(self) -> int:
        return 2 if self.unit_price is None else 3

    def requested(self) -> RequestedItem:
        return RequestedItem(ProductId(self.product_id), self.quantity, self.unit_price)


class CheckOrderBody(Struct, frozen=True, forbid_unknown_fields=True):
    items: Annotated[tuple[RequestedItemBody, ...], Meta(min_length=1, max_length=MAX_LINES)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1 + sum(item.members() for item in self.items)


class PlaceOrderBody(NewDetailsBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    user_id: WrittenCustomerId
    items: Annotated[tuple[RequestedItemBody, ...], Meta(min_length=1, max_length=MAX_LINES)]
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


class NewKeyBody(_LookedThrough, frozen=True, forbid_unknown_fields=True):
    """An API key that is asked for. Without scopes it gets those of its role."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_NAME)]
    role: Role
    kind: Literal["live", "test"] = "live"
    scopes: Annotated[tuple[Scope, ...], Meta(max_length=len(Scope))] | None = None
    user_id: WrittenCustomerId | None = None
    networks: Annotated[tuple[str, ...], Meta(max_length=MAX_NETWORKS)] = ()
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None

    def to_new(self) -> NewKey:
        return NewKey(
            name=self.name,
            role=self.role,
            kind=self.kind,
            scopes=None if self.scopes is None else frozenset(self.scopes),
            user_id=None if self.user_id is None else customer_id_of(self.user_id, in_body),
            networks=self.networks,
            expires_at=None if self.expires_at is None else within_years(self.expires_at),
        )


class RotateKeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old key works on, as in 24h."""

    overlap: str = "0"

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class KeyBody(Struct, frozen=True):
    id: str
    start: str
    role: str
    name: str
    scopes: list[str]
    user_id: int | str | None
    networks: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyBody":
        return cls(
            key.id,
            key.start,
            key.role,
            key.name,
            sorted(key.scopes),
            None if key.user_id is None else in_json(key.user_id),
            [str(network) for network in key.networks],
            key.created_at,
            key.created_by,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
        )


class IssuedKeyBody(Struct, frozen=True):
    """A new key. `token` is the key itself, which is shown here for the only time."""

    token: str
    key: KeyBody

    @classmethod
    def of(cls, issued: IssuedKey) -> "IssuedKeyBody":
        return cls(issued.token, KeyBody.of(issued.key))


class AuditEntryBody(Struct, frozen=True):
    id: int
    time: datetime
    key_id: str
    request_id: str
    action: str
    subject: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryBody":
        return cls(
            entry.id,
            entry.at,
            entry.by.key_id,
            entry.by.request_id,
            entry.action,
            entry.subject,
            entry.before,
            entry.after,
            entry.reason,
        )


class AuditBody(Struct, frozen=True):
    items: list[AuditEntryBody]
    next: str | None


class KeysBody(Struct, frozen=True):
    items: list[KeyBody]
    next: str | None


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
    cursor: str | None = None

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


class ChangeStatusBody(Struct, frozen=True, forbid_unknown_fields=True):
    # Another status gets an answer that says which there are.
    status: Annotated[str, Meta(extra_json_schema={"enum": sorted(SET_BY_HAND)})]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class PayBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing: the amount due is in the order."""

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 0


_Price = Annotated[int, Meta(ge=0, le=MAX_MINOR)]


class NewProductBody(_LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: NumberedId | None = None
    name: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    price: _Price
    currency: str
    stock: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 0
    sku: Annotated[str, Meta(min_length=1, max_length=MAX_SKU)] | None = None
    active: bool = True
    metadata: dict[str, str] = {}

    def to_new(self) -> NewProduct:
        """Raise `InvalidRequest`."""
        return NewProduct(
            id=None if self.id is None else ProductId(self.id),
            name=self.name,
            price=Money(self.price, _known(self.currency)),
            stock=self.stock,
            sku=self.sku,
            active=self.active,
            metadata=self.metadata,
        )


class ChangeProductBody(_LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. A member of the metadata that is null is removed."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | UnsetType = UNSET
    price: _Price | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    sku: Annotated[str, Meta(min_length=1, max_length=MAX_SKU)] | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    metadata: dict[str, str | None] = {}

    def to_edit(self) -> ProductEdit:
        """Raise `InvalidRequest`."""
        return ProductEdit(
            name=KEEP if self.name is UNSET else self.name,
            price=KEEP if self.price is UNSET else self.price,
            currency=KEEP if self.currency is UNSET else _known(self.currency),
            sku=KEEP if self.sku is UNSET else self.sku,
            active=KEEP if self.active is UNSET else self.active,
            metadata=self.metadata,
        )


class AdjustStockBody(_LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    delta: Annotated[int, Meta(ge=-MAX_COUNT, le=MAX_COUNT)]
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    expected: Annotated[int, Meta(ge=0, le=MAX_STOCK)] | None = None


def _known(currency: str) -> str:
    if currency not in DIGITS:
        raise InvalidRequest(in_body("currency", f"it is {UNKNOWN}", "not_one_of"))
    return currency


class ProductBody(Struct, frozen=True):
    id: int
    name: str
    price: int
    currency: str
    stock: int
    created_at: datetime
    sku: str | None
    active: bool
    metadata: Mapping[str, str]
    version: int

    @classmethod
    def of(cls, product: Product) -> "ProductBody":
        price = product.price
        return cls(
            product.id,
            product.name,
            price.minor,
            price.currency,
            product.stock,
            product.created_at,
            product.sku,
            product.active,
            product.metadata,
            product.version,
        )


class AdjustmentBody(Struct, frozen=True):
    delta: int
    reason: str
    made_by: str
    at: datetime

    @classmethod
    def of(cls, made: StockAdjustment) -> "AdjustmentBody":
        return cls(made.change, made.reason, made.made_by, made.at)


class AdjustmentsBody(Struct, frozen=True):
    items: list[AdjustmentBody]
    next: str | None


class PutItemBody(Struct, frozen=True, forbid_unknown_fields=True):
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class OrderCartBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing: what is ordered is in the cart."""

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 0


class CartItemBody(Struct, frozen=True):
    product_id: int
    quantity: int
    unit_price: int
    currency: str

    @classmethod
    def of(cls, item: CartItem) -> "CartItemBody":
        return cls(item.product_id, item.quantity, item.unit_price.minor, item.unit_price.currency)


class CartBody(Struct, frozen=True):
    user_id: int | str
    items: list[CartItemBody]

    @classmethod
    def of(cls, owner: CustomerId, cart: Cart) -> "CartBody":
        return cls(in_json(owner), [CartItemBody.of(item) for item in cart.items])


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


class PaymentBody(Struct, frozen=True):
    payment_id: UUID
    status: PaymentStatus
    amount: int
    currency: str
    requested_at: datetime


class RefundBody(Struct, frozen=True):
    """A refund that was asked for. It is given when `refunded_at` is set."""

    payment_id: UUID
    amount: int
    currency: str
    requested_at: datetime
    refunded_at: datetime | None


class EventBody(Struct, frozen=True):
    sequence: int
    type: str
    time: datetime
    # One of `EventData`: the type says which.
    data: Any

    @classmethod
    def of(cls, event: Event) -> "EventBody":
        return cls(event.sequence, event.type, event.at, data_of(event))


class MessageContentBody(Struct, frozen=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class SeedBody(Struct, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1, le=MOST_EXAMPLES)] = 100

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class JobAcceptedBody(Struct, frozen=True):
    job_id: UUID


class MessageBody(Struct, frozen=True):
    message_id: UUID
    order_id: UUID | None
    content: str
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> "MessageBody":
        return cls(message.id, message.order_id, message.content, message.created_at)


class MessagesBody(Struct, frozen=True):
    items: list[MessageBody]
    next: str | None


class ProgressBody(Struct, frozen=True):
    """How much is done, and of how much, if that is known."""

    done: int
    total: int | None


class JobBody(Struct, frozen=True):
    job_id: UUID
    kind: str
    status: JobStatus
    order_id: UUID | None
    attempts: int
    failures: int
    error: str | None
    progress: ProgressBody
    result: dict[str, Any] | None
    created_at: datetime
    available_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> "JobBody":
        return cls(
            job.id,
            job.kind,
            job.status,
            job.order_id,
            job.attempts,
            job.failures,
            job.error,
            ProgressBody(job.done, job.total),
            None if job.result is None else dict(job.result),
            job.created_at,
            job.available_at,
            job.started_at,
            job.finished_at,
        )


class JobsBody(Struct, frozen=True):
    items: list[JobBody]
    next: str | None


class ExpandedOrderBody(OrderBody, frozen=True, kw_only=True):
    """An order with what `expand` asked for."""

    payments: list[PaymentBody] | UnsetType = UNSET
    events: list[EventBody] | UnsetType = UNSET
    refunds: list[RefundBody] | UnsetType = UNSET

    @classmethod
    def with_parts(cls, expanded: ExpandedOrder, parts: Collection[str]) -> "ExpandedOrderBody":
        history = expanded.history
        made = {
            "payments": [
                PaymentBody(
                    event.payment_id,
                    expanded.payments[event.payment_id].status,
                    event.amount.minor,
                    event.amount.currency,
                    event.at,
                )
                for event in history
                if isinstance(event, PaymentRequested)
            ],
            "events": [EventBody.of(event) for event in history],
            "refunds": _refunds(history),
        }
        return cls(**members_of(OrderBody.of(expanded.order)), **{name: made[name] for name in parts})  # type: ignore[arg-type]  # each part has its own type


def _refunds(history: Sequence[Event]) -> list[RefundBody]:
    given = {event.payment_id: event.at for event in history if isinstance(event, OrderRefunded)}
    return [
        RefundBody(event.payment_id, event.amount.minor, event.amount.currency, event.at, given.get(event.payment_id))
        for event in history
        if isinstance(event, RefundRequested)
    ]


class ProductsBody(Struct, frozen=True):
    items: list[ProductBody]
    next: str | None


class OrdersBody(Struct, frozen=True):
    items: list[OrderBody]
    next: str | None


class HistoryBody(Struct, frozen=True):
    items: list[EventBody]


class ProblemKindBody(Struct, frozen=True):
    """One kind of problem. `guarded`: worth sending again, but only a request with a key does no harm."""

    type: str
    code: str
    title: str
    status: int
    cause: str
    remedy: str
    retryable: Literal["no", "yes", "guarded"]


class ProblemKindsBody(Struct, frozen=True):
    items: list[ProblemKindBody]


class FeedItemBody(Struct, frozen=True):
    """An event, as in the history of its order, with its order and its position in the feed."""

    position: int
    order_id: UUID
    sequence: int
    type: str
    time: datetime
    data: Any

    @classmethod
    def of(cls, item: FeedItem) -> "FeedItemBody":
        event = item.event
        return cls(item.position, event.order_id, event.sequence, event.type, event.at, data_of(event))


class FeedBody(Struct, frozen=True):
    items: list[FeedItemBody]
    next: int


class FeedResetBody(Struct, frozen=True):
    """The events after the position of a reader are not kept. It reads the orders anew, and goes on after `newest`."""

    oldest: int
    newest: int
    detail: str
    orders: str = "/orders"


class LiveBody(Struct, frozen=True):
    status: str = "ok"


class ReadyBody(Struct, frozen=True):
    """Anybody may ask: no address, no version, and no server's own words."""

    status: str
    orders: bool
    payments: bool
    missing: tuple[str, ...]

    @classmethod
    def of(cls, readiness: Readiness) -> "ReadyBody":
        status = "unavailable" if not readiness.orders else "degraded" if readiness.missing else "ok"
        return cls(status, readiness.orders, readiness.payments, readiness.missing)
