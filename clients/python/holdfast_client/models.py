"""What the API returns. Amounts are in minor units of the currency: 1250 is 12.50 EUR. Times are in UTC.

A later release may send members that this one does not know. They are in `raw`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """Units of a product that somebody orders."""

    product_id: int
    quantity: int

    def as_json(self) -> dict[str, int]:
        return {"product_id": self.product_id, "quantity": self.quantity}


@dataclass(frozen=True, slots=True)
class OrderLine:
    product_id: int
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True)
class Order:
    order_id: UUID
    user_id: int | str
    # PENDING, PROCESSING, PAID, COMPLETED, REFUNDED, FAILED, CANCELLED or EXPIRED.
    status: str
    total_price: int
    currency: str
    items: tuple[OrderLine, ...]
    failure_reason: str | None
    refund_requested: bool
    version: int
    created_at: datetime
    updated_at: datetime
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            order_id=UUID(body["order_id"]),
            user_id=body["user_id"],
            status=body["status"],
            total_price=body["total_price"],
            currency=body["currency"],
            items=tuple(OrderLine(line["product_id"], line["quantity"], line["unit_price"]) for line in body["items"]),
            failure_reason=body["failure_reason"],
            refund_requested=body["refund_requested"],
            version=body["version"],
            created_at=datetime.fromisoformat(body["created_at"]),
            updated_at=datetime.fromisoformat(body["updated_at"]),
            raw=body,
        )

    @property
    def job_id(self) -> UUID | None:
        """The job of a change that was accepted, and is made once the order is recorded."""
        return UUID(self.raw["job_id"]) if "job_id" in self.raw else None


@dataclass(frozen=True, slots=True)
class CheckedOrder:
    """What an order would cost now, and whether it could be paid for. `raw` has the same of each item."""

    total_price: int
    currency: str
    in_stock: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["total_price"], body["currency"], body["in_stock"], body)


@dataclass(frozen=True, slots=True)
class Product:
    id: int
    name: str
    price: int
    currency: str
    stock: int
    created_at: datetime
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            id=body["id"],
            name=body["name"],
            price=body["price"],
            currency=body["currency"],
            stock=body["stock"],
            created_at=datetime.fromisoformat(body["created_at"]),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an order. `position` is its place among all events of the shop, where the feed has told it.

    `request_id` is the `Request-Id` of the request that caused it, if one did.
    """

    order_id: UUID
    sequence: int
    # Such as `order.paid`.
    type: str
    time: datetime
    data: Mapping[str, Any]
    position: int | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any], order_id: UUID | None = None) -> Self:
        return cls(
            order_id=order_id or UUID(body["order_id"]),
            sequence=body["sequence"],
            type=body["type"],
            time=datetime.fromisoformat(body["time"]),
            data=body["data"],
            position=body.get("position"),
            request_id=body.get("request_id"),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """Something that has happened to an order, and the seconds since the step before.

    `legs` says what its time went into, in seconds by name: `queue`, `worker`, `provider`, `feed` or `webhook`. Each
    has a beginning of its own. Attempts to which the provider gave no answer are in `worker` of a payment, and in
    `queue` of a refund. An earlier release of Holdfast tells none.
    """

    time: datetime
    what: str
    seconds: float
    # `event`, `change`, `webhook` or `dead_letter`.
    kind: str = "event"
    legs: Mapping[str, float] = field(default_factory=dict)
    delivery_id: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            time=datetime.fromisoformat(body["time"]),
            what=body["what"],
            seconds=body["seconds"],
            kind=body.get("kind", "event"),
            legs={leg["name"]: leg["seconds"] for leg in body.get("legs", ())},
            delivery_id=body.get("delivery_id"),
        )


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where an order stands: whose turn it is, why, what drives it on, and its steps, as they followed."""

    order_id: UUID
    status: str
    version: int
    # Such as `customer`, `worker` or `nobody`.
    waits_for: str
    because: str
    next: str
    steps: Sequence[Step]
    # What else of the order waits.
    beside: Sequence[str]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            order_id=UUID(body["order_id"]),
            status=body["status"],
            version=body["version"],
            waits_for=body["waits_for"],
            because=body["because"],
            next=body["next"],
            steps=[Step.of(each) for each in body["steps"]],
            beside=list(body["beside"]),
        )


@dataclass(frozen=True, slots=True)
class Cart:
    """What a customer may order. The prices are those that the customer was shown."""

    user_id: int | str
    items: tuple[OrderLine, ...]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        items = tuple(OrderLine(item["product_id"], item["quantity"], item["unit_price"]) for item in body["items"])
        return cls(body["user_id"], items)


@dataclass(frozen=True, slots=True)
class Message:
    message_id: UUID
    order_id: UUID | None
    content: str
    created_at: datetime

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        order_id = body["order_id"]
        return cls(
            message_id=UUID(body["message_id"]),
            order_id=None if order_id is None else UUID(order_id),
            content=body["content"],
            created_at=datetime.fromisoformat(body["created_at"]),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """Work that a worker does later. `raw` has its progress and its times."""

    job_id: UUID
    kind: str
    # SCHEDULED, AVAILABLE, EXECUTING, RETRYABLE, COMPLETED, CANCELLED or DISCARDED.
    status: str
    attempts: int
    error: str | None
    result: Mapping[str, Any] | None
    is_finished: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            job_id=UUID(body["job_id"]),
            kind=body["kind"],
            status=body["status"],
            attempts=body["attempts"],
            error=body["error"],
            result=body["result"],
            is_finished=body["finished_at"] is not None,
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class Import:
    """An import, and what has become of its rows so far. `raw` has its progress and its times."""

    job_id: UUID
    # As a `Job` has it.
    status: str
    error: str | None
    # Whether rows were done, and not only tried.
    applied: bool
    rows: int
    # How many rows have each outcome: added, changed, unchanged, bad, would_be_added, ...
    outcomes: Mapping[str, int]
    is_finished: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            job_id=UUID(body["job_id"]),
            status=body["status"],
            error=body["error"],
            applied=body["applied"],
            rows=body["rows"],
            outcomes=body["outcomes"],
            is_finished=body["finished_at"] is not None,
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new API key. The service shows its `token` this once."""

    id: str
    token: str = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["key"]["id"], body["token"], body["key"])


@dataclass(frozen=True, slots=True)
class BrokenItem:
    """An order, a webhook endpoint or a job that can't be shown, with what is wrong with it."""

    id: UUID
    detail: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        id_ = next(body[name] for name in ("order_id", "endpoint_id", "job_id") if name in body)
        return cls(UUID(id_), body["detail"])


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. `next` is the cursor of the next page, or None.

    `count` is how many items the list has, up to 10,000, where it was asked for. `broken` are items of this page that
    the service can't show, since somebody has changed them by hand in its database.
    """

    items: Sequence[T]
    next: str | None
    count: int | None = None
    broken: Sequence[BrokenItem] = ()

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of the feed. `next` is the position to go on after."""

    items: Sequence[Event]
    next: int

    def __iter__(self) -> Iterator[Event]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A part of a request that is wrong: a member of the body by its JSON pointer, a parameter or a header."""

    where: str
    code: str
    detail: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        where = body.get("pointer") or body.get("parameter") or body.get("header") or ""
        return cls(where, body.get("code", ""), body.get("detail", ""))
