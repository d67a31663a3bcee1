"""One event on its way to one receiver."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from attrs import define, field, setters
from attrs.validators import ge

from domain.errors import DomainError, IllegalTransition
from domain.ids import EndpointId, OrderId
from domain.moments import is_past
from domain.webhooks.schedule import HEAD_WAITS, LONGEST_PAUSE, pause_after


class UnknownDelivery(DomainError):
    """There is no such delivery, or it ended long ago and was removed."""

    code = "unknown_delivery"


class DeliveryStatus(StrEnum):
    # Not attempted yet, or to be sent anew.
    PENDING = "PENDING"
    # An attempt failed, and another follows.
    RETRYING = "RETRYING"
    DELIVERED = "DELIVERED"
    # The last attempt failed.
    EXHAUSTED = "EXHAUSTED"
    # It is not attempted (any more).
    SKIPPED = "SKIPPED"


class Undelivered(StrEnum):
    """Why the receiver does not have an event."""

    EXHAUSTED = "exhausted"
    ENDPOINT_DISABLED = "endpoint_disabled"
    TYPE_DESELECTED = "type_deselected"
    REFUSED_ADDRESS = "refused_address"
    # An earlier event of the same order is on its way.
    HELD_BEHIND = "held_behind"
    ENDPOINT_DELETED = "endpoint_deleted"


_S: Final = DeliveryStatus
# The whole life of a delivery.
NEXT: Final[Mapping[DeliveryStatus, frozenset[DeliveryStatus]]] = MappingProxyType(
    {
        _S.PENDING: frozenset({_S.PENDING, _S.RETRYING, _S.DELIVERED, _S.EXHAUSTED, _S.SKIPPED}),
        _S.RETRYING: frozenset({_S.PENDING, _S.RETRYING, _S.DELIVERED, _S.EXHAUSTED, _S.SKIPPED}),
        # A person may have it sent again.
        _S.DELIVERED: frozenset({_S.PENDING}),
        _S.EXHAUSTED: frozenset({_S.PENDING}),
        _S.SKIPPED: frozenset({_S.PENDING}),
    }
)
OPEN: Final = frozenset({_S.PENDING, _S.RETRYING})


class DeliveryId(NamedTuple):
    """An endpoint gets the event at a position once."""

    endpoint_id: EndpointId
    position: int

    def __str__(self) -> str:
        return f"{self.endpoint_id}.{self.position}"


@define(kw_only=True)
class Delivery:
    """An event that an endpoint wants. `tries` counts attempts of the schedule, `attempts` all that were ever made.

    `outcome` tells what came of the last attempt.
    """

    id: DeliveryId = field(on_setattr=setters.frozen)
    order_id: OrderId = field(on_setattr=setters.frozen)
    sequence: int = field(on_setattr=setters.frozen)
    type: str = field(on_setattr=setters.frozen)
    # When the event happened.
    at: datetime = field(on_setattr=setters.frozen)
    status: DeliveryStatus = DeliveryStatus.PENDING
    reason: Undelivered | None = None
    tries: int = field(default=0, validator=ge(0))
    attempts: int = field(default=0, validator=ge(0))
    outcome: str = ""
    # When it is attempted next, while it is open.
    next_at: datetime | None
    # From then on, later events of its order don't wait for it any more. None as long as it was not attempted.
    slow_from: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def is_due(self, now: datetime) -> bool:
        return self.is_open and is_past(self.next_at, now, longest=LONGEST_PAUSE)

    def is_slow(self, now: datetime) -> bool:
        """Whether it holds nothing up."""
        return self.slow_from is not None and is_past(self.slow_from, now, longest=HEAD_WAITS)

    def succeed(self, outcome: str, *, made: int, at: datetime) -> None:
        """The receiver has taken it."""
        self._attempted(outcome, made)
        self._finish(DeliveryStatus.DELIVERED, None, at=at)

    def fail(
        self,
        outcome: str,
        *,
        made: int,
        at: datetime,
        refused_address: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        """Try it again later, or no more if this was the last attempt."""
        self._attempted(outcome, made)
        pause = pause_after(self.tries, name=str(self.id), retry_after=retry_after)
        reason = Undelivered.REFUSED_ADDRESS if refused_address else None
        if pause is None:
            self._finish(DeliveryStatus.EXHAUSTED, reason or Undelivered.EXHAUSTED, at=at)
            return
        self._become(DeliveryStatus.RETRYING)
        self.reason, self.next_at = reason, at + pause
        if self.slow_from is None:
            self.slow_from = at + HEAD_WAITS

    def hold(self, *, until: datetime) -> None:
        """Wait for an earlier event of the order."""
        self._become(DeliveryStatus.PENDING)
        self.reason, self.next_at = Undelivered.HELD_BEHIND, until

    def release(self, *, at: datetime) -> None:
        """The earlier event is out of the way."""
        self.reason, self.next_at = None, at

    def skip(self, why: Undelivered, *, at: datetime) -> None:
        self._finish(DeliveryStatus.SKIPPED, why, at=at)

    def recover(self, *, at: datetime) -> None:
        """Send it anew, as if it had never failed: as often, and in the sequence of its order."""
        self._become(DeliveryStatus.PENDING)
        self.reason, self.tries, self.finished_at = None, 0, None
        self.next_at, self.slow_from = at, None

    def resend(self, *, at: datetime) -> None:
        """Send it anew, as often as if it had never failed. It overtakes, and holds nothing up."""
        self.recover(at=at)
        self.slow_from = at

    def _attempted(self, outcome: str, made: int) -> None:
        self.tries += 1
        self.attempts += made
        self.outcome = outcome

    def _finish(self, status: DeliveryStatus, reason: Undelivered | None, *, at: datetime) -> None:
        self._become(status)
        self.reason, self.next_at, self.finished_at = reason, None, at

    def _become(self, status: DeliveryStatus) -> None:
        if status not in NEXT[self.status]:
            raise IllegalTransition(f"the delivery is {self.status.value} and cannot become {status.value}")
        self.status = status
