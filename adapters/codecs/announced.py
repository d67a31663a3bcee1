"""Events as other services get them: the contract. docs/events.md and /asyncapi.json are made of these types.

They are apart from what is stored (`shapes.py`), so that neither binds the other. Their names are those of the HTTP
interface. Within a version a field keeps its name and its meaning, and fields are only added.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict as members_of
from msgspec.structs import fields

from adapters.codecs.event_shapes import (
    EVENT_SHAPES,
    AnsweredShape,
    ChangeRefusedShape,
    DetailsChangedShape,
    FailedShape,
    HappenedShape,
    MoneyMovedShape,
    PlacedShape,
)
from adapters.codecs.events import SCHEMA, BadMessage
from adapters.codecs.ids import in_json
from adapters.codecs.plain import plain
from adapters.codecs.shapes import AddressShape, DetailsShape, LineShape
from application.messaging.subscriptions import NOT_ANNOUNCED
from application.ports.outbox import OutboxEntry
from domain.orders.events import EVENT_TYPES, Event

VERSION: Final = 1

_Currency = Annotated[str, Meta(description="ISO 4217 code")]
_Minor = Annotated[int, Meta(ge=0, description="in minor units: 1250 is 12.50 EUR")]
_Payment = Annotated[UUID, Meta(description="the attempt to pay that this is about")]


class ItemData(Struct):
    """Some units of one product."""

    product_id: Annotated[int, Meta(description="the product")]
    quantity: Annotated[int, Meta(ge=1, description="how many units")]
    unit_price: Annotated[_Minor, Meta(description="of one unit, as agreed when the order was placed, in minor units")]

    @classmethod
    def of(cls, line: LineShape) -> "ItemData":
        return cls(line.product_id, line.quantity, line.unit_price.minor)


class AddressData(Struct, omit_defaults=True, kw_only=True):
    """Where something is sent. What is not known is absent."""

    name: str | None = None
    company: str | None = None
    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None
    phone: str | None = None

    @classmethod
    def of(cls, shape: AddressShape | None) -> "AddressData | None":
        return None if shape is None else cls(**members_of(shape))


class DetailsData(Struct, omit_defaults=True, kw_only=True):
    """What else belongs to the order, as it is now. What it does not have is absent."""

    external_id: Annotated[str | None, Meta(description="the caller's own name for the order")] = None
    email: Annotated[str | None, Meta(description="the customer's e-mail address")] = None
    shipping_address: Annotated[AddressData | None, Meta(description="where the order is sent")] = None
    billing_address: Annotated[AddressData | None, Meta(description="where the invoice is sent")] = None
    note: Annotated[str | None, Meta(description="a text of the customer or of the shop")] = None
    metadata: Annotated[Mapping[str, str], Meta(description="the caller's own fields")] = {}
    payment_method: Annotated[str | None, Meta(description="the provider's name of the means to pay")] = None

    @classmethod
    def of(cls, shape: DetailsChangedShape) -> "DetailsData":
        return cls(**details_of(shape.details))


def details_of(shape: DetailsShape | UnsetType | None) -> dict[str, Any]:
    if not isinstance(shape, DetailsShape):
        return {}
    addresses = {kind: AddressData.of(getattr(shape, kind)) for kind in ("shipping_address", "billing_address")}
    return {**members_of(shape), **addresses}


class PlacedData(DetailsData, omit_defaults=True, kw_only=True):
    """What was ordered, by whom, and what it costs. The details that the order does not have are absent."""

    user_id: Annotated[int | str, Meta(description="the customer; a number beyond 2^53 - 1 is a string")]
    items: Annotated[list[ItemData], Meta(description="the products, each once")]
    total_price: _Minor
    currency: _Currency

    @classmethod
    def of(cls, shape: PlacedShape) -> "PlacedData":  # type: ignore[override]  # each kind of data has a shape of its own
        return cls(
            user_id=in_json(shape.user_id),
            items=[ItemData.of(line) for line in shape.lines],
            total_price=shape.total.minor,
            currency=shape.total.currency,
            **details_of(shape.details),
        )


class AmountData(Struct):
    """An amount that was asked for, taken or given back."""

    payment_id: _Payment
    amount: _Minor
    currency: _Currency

    @classmethod
    def of(cls, shape: MoneyMovedShape) -> "AmountData":
        return cls(shape.payment_id, shape.amount.minor, shape.amount.currency)


class FailedData(Struct, omit_defaults=True):
    """Why no money was taken."""

    payment_id: _Payment
    reason: Annotated[str, Meta(description="a code: `out_of_stock` or `payment_declined`")]
    out_of_stock: Annotated[
        tuple[int, ...], Meta(description="the products of which too few units were left; absent if there are none")
    ] = ()

    @classmethod
    def of(cls, shape: FailedShape) -> "FailedData":
        return cls(shape.payment_id, shape.reason, tuple(shape.out_of_stock))


class RefusedData(Struct):
    """A change that was accepted before the order was recorded, and then refused."""

    job_id: Annotated[UUID, Meta(description="the job of the change")]
    change: Annotated[str, Meta(description="what was asked for, such as `cancel`")]
    code: Annotated[str, Meta(description="the code of the refusal, such as `illegal_transition`")]
    reason: Annotated[str, Meta(description="the refusal in words")]

    @classmethod
    def of(cls, shape: ChangeRefusedShape) -> "RefusedData":
        return cls(shape.job_id, shape.change, shape.code, shape.reason)


class NoData(Struct):
    """Nothing: the type of the event says it all."""

    @classmethod
    def of(cls, _: HappenedShape) -> "NoData":
        return cls()


EventData = PlacedData | DetailsData | RefusedData | AmountData | FailedData | NoData


class AnnouncedEvent(Struct):
    """The body of a message. The history of an order (`GET /orders/{order_id}/events`) has the same fields."""

    order_id: Annotated[UUID, Meta(description="the order that changed")]
    sequence: Annotated[int, Meta(ge=1, description="the order's version after the change: 1, 2, 3 and so on")]
    type: Annotated[str, Meta(description="what happened; also the routing key")]
    time: Annotated[datetime, Meta(tz=True, description="when it happened, RFC 3339 in UTC")]
    # One of `EventData`: the type says which.
    data: Any
    request_id: Annotated[
        str | UnsetType,
        Meta(
            description="the `Request-Id` of the request that caused it, directly or by what it asked the worker to do;"
            " absent where no request did"
        ),
    ] = UNSET


_DATA_OF_SHAPES: Final[Mapping[type, Any]] = {
    PlacedShape: PlacedData,
    DetailsChangedShape: DetailsData,
    ChangeRefusedShape: RefusedData,
    MoneyMovedShape: AmountData,
    AnsweredShape: AmountData,
    FailedShape: FailedData,
    HappenedShape: NoData,
}
# The events that others hear of. An accepted order is no change of an order: `order.placed` follows.
ANNOUNCED: Final[tuple[type[Event], ...]] = tuple(kind for kind in EVENT_TYPES if kind.type not in NOT_ANNOUNCED)
DATA_OF: Final[Mapping[type[Event], Any]] = MappingProxyType(
    {kind: _DATA_OF_SHAPES[EVENT_SHAPES[kind]] for kind in ANNOUNCED}
)
_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)


def data_of(event: Event) -> EventData:
    """Return what this event tells beside its type, order, sequence and time."""
    data: EventData = DATA_OF[type(event)].of(EVENT_SHAPES[type(event)].of(event))
    return data


def announced(entry: OutboxEntry) -> tuple[bytes, str, str, str | UnsetType]:
    """Return the body of the announcement, and the order id, the time and the request id in it. Raise `BadMessage`."""
    readable = _READABLE.get(entry.type)
    if readable is None:
        raise BadMessage(f"type {entry.type!r} is not announced by this version")
    data, decoder = readable
    try:
        shape = decoder.decode(entry.body)
    except (RecursionError, ValueError) as error:
        raise BadMessage(str(error)) from error
    if shape.schema != SCHEMA:
        raise BadMessage(f"schema {shape.schema} is unknown; this version reads schema {SCHEMA}")
    event = AnnouncedEvent(shape.order_id, shape.sequence, entry.type, shape.at, data.of(shape), shape.request_id)
    return _ENCODER.encode(event), shape.order_id, shape.at, shape.request_id


def _as_text(shape: Any) -> type[Struct]:
    """Return the shape with ids and times as they are written, so that none is read only to be written again."""
    written = [(each.name, str) for each in fields(shape) if each.type in {UUID, datetime}]
    return msgspec.defstruct(f"{shape.__name__}AsText", [("schema", int), *written], bases=(shape,), kw_only=True)


# By the type of the event: what makes its data, and how the stored event is read.
_READABLE: Final[Mapping[str, tuple[Any, msgspec.json.Decoder[Any]]]] = {
    kind.type: (data, msgspec.json.Decoder(_as_text(EVENT_SHAPES[kind]))) for kind, data in DATA_OF.items()
}
