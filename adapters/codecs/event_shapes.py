"""The shapes of the events that are stored and sent, under the rule of `shapes`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol, Self
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from adapters.codecs.shapes import DetailsShape, LineShape, MoneyShape, restored_details
from domain.ids import JobId, OrderId, PaymentId, ProductId, customer_id
from domain.orders import events
from domain.orders.events import (
    AskedUnder,
    Event,
    OrderAccepted,
    OrderChangeAccepted,
    OrderChangeRefused,
    OrderDetailsChanged,
    OrderFailed,
    OrderPlaced,
)


class AskedUnderShape(Struct):
    fingerprint: str
    key: str
    scope: str


class EventShape(Protocol):
    @classmethod
    def of(cls, event: Any, /) -> Self: ...

    def restored(self, kind: Any, /) -> Event:
        """Return the event of this kind. Raise `ValueError` or `DomainError` for what breaks the rules of its class."""


class AcceptedShape(Struct, kw_only=True):
    asked_under: AskedUnderShape | None = None
    at: datetime
    details: DetailsShape | UnsetType = UNSET
    lines: list[LineShape]
    order_id: UUID
    # Written only where it is set: most orders have none, and a release without it wrote the same bytes.
    pay: bool | UnsetType = UNSET
    # So is this one, in every event.
    request_id: str | UnsetType = UNSET
    sequence: int = 0
    total: MoneyShape
    user_id: int | str

    @classmethod
    def of(cls, event: OrderAccepted, /) -> Self:
        under = event.asked_under
        return cls(
            asked_under=None if under is None else AskedUnderShape(under.fingerprint, under.key, under.scope),
            at=event.at,
            details=DetailsShape.of_any(event.details),
            lines=[LineShape.of(line) for line in event.lines],
            order_id=event.order_id,
            pay=event.pay or UNSET,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
            total=MoneyShape.of(event.total),
            user_id=event.user_id,
        )

    def restored(self, kind: type[OrderAccepted], /) -> OrderAccepted:
        under = self.asked_under
        return kind(
            order_id=OrderId(self.order_id),
            sequence=self.sequence,
            at=self.at,
            user_id=customer_id(self.user_id),
            lines=tuple(line.restored() for line in self.lines),
            total=self.total.restored(),
            asked_under=None
            if under is None
            else AskedUnder(scope=under.scope, key=under.key, fingerprint=under.fingerprint),
            pay=self.pay is True,
            request_id=self.request_id or None,
            details=restored_details(self.details),
        )


class ChangeAcceptedShape(Struct, kw_only=True):
    asked: str
    at: datetime
    job_id: UUID
    order_id: UUID
    request_id: str | UnsetType = UNSET
    sequence: int = 0
    signature: str

    @classmethod
    def of(cls, event: OrderChangeAccepted, /) -> Self:
        return cls(
            asked=event.asked,
            at=event.at,
            job_id=event.job_id,
            order_id=event.order_id,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
            signature=event.signature,
        )

    def restored(self, kind: type[OrderChangeAccepted], /) -> OrderChangeAccepted:
        return kind(
            order_id=OrderId(self.order_id),
            sequence=self.sequence,
            at=self.at,
            request_id=self.request_id or None,
            job_id=JobId(self.job_id),
            asked=self.asked,
            signature=self.signature,
        )


class PlacedShape(Struct, kw_only=True):
    at: datetime
    details: DetailsShape | UnsetType = UNSET
    lines: list[LineShape]
    order_id: UUID
    request_id: str | UnsetType = UNSET
    sequence: int
    total: MoneyShape
    user_id: int | str

    @classmethod
    def of(cls, event: OrderPlaced, /) -> Self:
        return cls(
            at=event.at,
            details=DetailsShape.of_any(event.details),
            lines=[LineShape.of(line) for line in event.lines],
            order_id=event.order_id,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
            total=MoneyShape.of(event.total),
            user_id=event.user_id,
        )

    def restored(self, kind: type[OrderPlaced], /) -> OrderPlaced:
        return kind(
            order_id=OrderId(self.order_id),
            sequence=self.sequence,
            at=self.at,
            request_id=self.request_id or None,
            user_id=customer_id(self.user_id),
            lines=tuple(line.restored() for line in self.lines),
            total=self.total.restored(),
            details=restored_details(self.details),
        )


class DetailsChangedShape(Struct, kw_only=True):
    at: datetime
    details: DetailsShape | None
    order_id: UUID
    request_id: str | UnsetType = UNSET
    sequence: int

    @classmethod
    def of(cls, event: OrderDetailsChanged, /) -> Self:
        details = None if event.details is None else DetailsShape.of(event.details)
        return cls(
            at=event.at,
            details=details,
            order_id=event.order_id,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
        )

    def restored(self, kind: type[OrderDetailsChanged], /) -> OrderDetailsChanged:
        details = None if self.details is None else self.details.restored()
        return kind(
            order_id=OrderId(self.order_id),
            sequence=self.sequence,
            at=self.at,
            request_id=self.request_id or None,
            details=details,
        )


class ChangeRefusedShape(Struct, kw_only=True):
    at: datetime
    change: str
    code: str
    job_id: UUID
    order_id: UUID
    reason: str
    request_id: str | UnsetType = UNSET
    sequence: int

    @classmethod
    def of(cls, event: OrderChangeRefused, /) -> Self:
        return cls(
            at=event.at,
            change=event.change,
            code=event.code,
            job_id=event.job_id,
            order_id=event.order_id,
            reason=event.reason,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
        )

    def restored(self, kind: type[OrderChangeRefused], /) -> OrderChangeRefused:
        return kind(
            order_id=OrderId(self.order_id),
            sequence=self.sequence,
            at=self.at,
            request_id=self.request_id or None,
            job_id=JobId(self.job_id),
            change=self.change,
            code=self.code,
            reason=self.reason,
        )


class MoneyMovedShape(Struct, kw_only=True):
    """Of events about an amount: what was requested, taken, or given back."""

    amount: MoneyShape
    at: datetime
    order_id: UUID
    payment_id: UUID
    request_id: str | UnsetType = UNSET
    sequence: int

    @classmethod
    def of(cls, event: Any, /) -> Self:
        return cls(
            amount=MoneyShape.of(event.amount),
            at=event.at,
            order_id=event.order_id,
            payment_id=event.payment_id,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
        )

    def restored(self, kind: Any, /) -> Event:
        event: Event = kind(
            order_id=self.order_id,
            sequence=self.sequence,
            at=self.at,
            request_id=self.request_id or None,
            payment_id=self.payment_id,
            amount=self.amount.restored(),
        )
        return event


class AnsweredShape(MoneyMovedShape, kw_only=True):
    """Of events that record what the payment provider has answered."""

    asked_at: datetime | UnsetType = UNSET

    @classmethod
    def of(cls, event: Any, /) -> Self:
        shape = super().of(event)
        shape.asked_at = event.asked_at or UNSET
        return shape

    def restored(self, kind: Any, /) -> Event:
        return super().restored(partial(kind, asked_at=self.asked_at or None))


class FailedShape(Struct, kw_only=True):
    asked_at: datetime | UnsetType = UNSET
    at: datetime
    order_id: UUID
    out_of_stock: Sequence[int] = ()
    payment_id: UUID
    reason: str
    request_id: str | UnsetType = UNSET
    sequence: int

    @classmethod
    def of(cls, event: OrderFailed, /) -> Self:
        return cls(
            asked_at=event.asked_at or UNSET,
            at=event.at,
            order_id=event.order_id,
            out_of_stock=event.out_of_stock,
            payment_id=event.payment_id,
            reason=event.reason,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
        )

    def restored(self, kind: type[OrderFailed], /) -> OrderFailed:
        return kind(
            order_id=OrderId(self.order_id),
            sequence=self.sequence,
            at=self.at,
            request_id=self.request_id or None,
            payment_id=PaymentId(self.payment_id),
            reason=self.reason,
            out_of_stock=tuple(ProductId(id_) for id_ in self.out_of_stock),
            asked_at=self.asked_at or None,
        )


class HappenedShape(Struct, kw_only=True):
    """Of events of which only their type tells more."""

    at: datetime
    order_id: UUID
    request_id: str | UnsetType = UNSET
    sequence: int

    @classmethod
    def of(cls, event: Any, /) -> Self:
        return cls(
            at=event.at,
            order_id=event.order_id,
            request_id=event.request_id or UNSET,
            sequence=event.sequence,
        )

    def restored(self, kind: Any, /) -> Event:
        event: Event = kind(
            order_id=self.order_id, sequence=self.sequence, at=self.at, request_id=self.request_id or None
        )
        return event


_WITH_DATA: Final[Mapping[type[Event], type[EventShape]]] = {
    events.OrderAccepted: AcceptedShape,
    events.OrderChangeAccepted: ChangeAcceptedShape,
    events.OrderPlaced: PlacedShape,
    events.OrderDetailsChanged: DetailsChangedShape,
    events.OrderChangeRefused: ChangeRefusedShape,
    events.PaymentRequested: MoneyMovedShape,
    events.OrderPaid: AnsweredShape,
    events.OrderFailed: FailedShape,
    events.RefundRequested: MoneyMovedShape,
    events.OrderRefunded: AnsweredShape,
}
EVENT_SHAPES: Final[Mapping[type[Event], type[EventShape]]] = {
    kind: _WITH_DATA.get(kind, HappenedShape) for kind in events.EVENT_TYPES
}
