"""The JSON of an order's way: what has happened to it, and what it waits for."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from application.orders.explain_order import Explained
from application.orders.standing import WaitsFor
from domain.orders.status import OrderStatus


class StepBody(Struct, frozen=True):
    time: datetime
    what: str
    # Since the step before. Below zero, if a clock was set.
    seconds: float


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
            [
                StepBody(step.at, step.what, round((step.at - before.at).total_seconds(), 6))
                for before, step in zip([*steps[:1], *steps], steps, strict=False)
            ],
            list(explained.beside),
        )
