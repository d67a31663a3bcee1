"""The JSON of an order's way: what has happened to it, and what it waits for."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from application.orders.explain_order import Explained, Step, StepKind
from application.orders.legs import LegName
from application.orders.standing import WaitsFor
from domain.orders.status import OrderStatus


class LegBody(Struct, frozen=True):
    """A stretch of the way, which has a beginning of its own. Below zero, if two clocks differ."""

    name: LegName
    seconds: float


class StepBody(Struct, frozen=True):
    time: datetime
    what: str
    # Since the step before. Below zero, if a clock was set.
    seconds: float
    kind: StepKind
    legs: list[LegBody]
    # Of a webhook.
    delivery_id: str | None = None

    @classmethod
    def of(cls, step: Step, before: Step) -> "StepBody":
        return cls(
            step.at,
            step.what,
            _seconds(step.at - before.at),
            step.kind,
            [LegBody(leg.name, _seconds(leg.took)) for leg in step.legs],
            None if step.delivery is None else str(step.delivery.id),
        )


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 6)


class TimelineBody(Struct, frozen=True):
    """`because` and `next` say why the order stands where it does, and what drives it on."""

    order_id: UUID
    status: OrderStatus
    version: int
    waits_for: WaitsFor
    because: str
    next: str
    steps: list[StepBody]
    # What else of the order waits.
    beside: list[str]

    @classmethod
    def of(cls, explained: Explained) -> "TimelineBody":
        order, standing, steps = explained.order, explained.standing, explained.steps
        return cls(
            order.id,
            order.status,
            order.version,
            standing.waits_for,
            standing.because,
            standing.next,
            [StepBody.of(step, before) for before, step in zip([*steps[:1], *steps], steps, strict=False)],
            list(explained.beside),
        )
