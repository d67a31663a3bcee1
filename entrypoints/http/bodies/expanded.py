"""The JSON of an order with its payments, events and refunds, and the changes of it that wait."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict as members_of

from application.orders.expand_order import ExpandedOrder
from application.orders.waiting_changes import OrderWithChanges
from domain.jobs.job import Job, JobStatus
from domain.orders.events import Event, OrderRefunded, PaymentRequested, RefundRequested
from domain.payments.payment import PaymentStatus
from entrypoints.http.bodies.events import EventBody
from entrypoints.http.bodies.orders import OrderBody
from entrypoints.http.query import CHANGES


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


class WaitingChangeBody(Struct, frozen=True):
    """A change that was asked for and is made once the order is recorded. `error` says why it waits on."""

    job_id: UUID
    change: str
    status: JobStatus
    asked_at: datetime
    error: str | None

    @classmethod
    def of(cls, job: Job) -> "WaitingChangeBody":
        return cls(job.id, str(job.arguments.get("change")), job.status, job.created_at, job.error)


class ExpandedOrderBody(OrderBody, frozen=True, kw_only=True):
    """An order with what `expand` asked for."""

    payments: list[PaymentBody] | UnsetType = UNSET
    events: list[EventBody] | UnsetType = UNSET
    refunds: list[RefundBody] | UnsetType = UNSET
    changes: list[WaitingChangeBody] | UnsetType = UNSET

    @classmethod
    def with_changes(cls, shown: OrderWithChanges) -> "ExpandedOrderBody":
        changes = [WaitingChangeBody.of(job) for job in shown.waiting]
        return cls(**members_of(OrderBody.of(shown.order)), changes=changes)

    @classmethod
    def with_parts(cls, expanded: ExpandedOrder, parts: Collection[str], changes: Sequence[Job]) -> "ExpandedOrderBody":
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
            CHANGES: [WaitingChangeBody.of(job) for job in changes],
        }
        return cls(**members_of(OrderBody.of(expanded.order)), **{name: made[name] for name in parts})  # type: ignore[arg-type]  # each part has its own type


def _refunds(history: Sequence[Event]) -> list[RefundBody]:
    given = {event.payment_id: event.at for event in history if isinstance(event, OrderRefunded)}
    return [
        RefundBody(event.payment_id, event.amount.minor, event.amount.currency, event.at, given.get(event.payment_id))
        for event in history
        if isinstance(event, RefundRequested)
    ]
