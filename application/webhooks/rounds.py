"""A round: what one endpoint is sent at once, and what came of it."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus

from attrs import define, field, frozen

from application.ports.webhooks import Attempt
from application.webhooks.planning import Plan
from domain.ids import EndpointId
from domain.webhooks.delivery import DeliveryId
from domain.webhooks.endpoint import Disabled


@frozen
class Ended:
    """A round that has ended. With an error, its outcomes may not be recorded."""

    endpoint_id: EndpointId
    delivered: int = 0
    failed: int = 0
    disabled: Disabled | None = None
    error: Exception | None = None


@define(eq=False)
class Round:
    """A plan, and what came of it so far."""

    plan: Plan
    by: str
    taken_at: datetime
    attempts: dict[DeliveryId, list[Attempt]] = field(factory=dict)
    failures: int = 0
    # No further attempt is begun.
    is_closed: bool = False
    # The last error that nobody expected. Each such error is recorded as a failure of its attempt.
    error: Exception | None = None

    @property
    def begun(self) -> int:
        return len(self.attempts)


def is_gone(made: Sequence[Attempt]) -> bool:
    return made[-1].status == HTTPStatus.GONE
