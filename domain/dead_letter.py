from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

from attrs import define, field, frozen, setters
from attrs.validators import ge

from domain.errors import DomainError, IllegalTransition
from domain.orders.events import ACCEPTED_TYPES, Event

_LONGEST_REASON: Final = 2000
_LONGEST_NAME: Final = 200


class UnknownDeadLetter(DomainError):
    """There is no such dead letter."""

    code = "unknown_dead_letter"


class UnreadableMessage(DomainError):
    """The message can't be replayed, because this version can't read it."""

    code = "unreadable_message"


class ForeignMessage(DomainError):
    """The message can't be replayed, because it is no event of this shop."""

    code = "foreign_message"


class InvalidDecision(DomainError):
    """A decision without a name that can be kept."""

    code = "invalid_decision"


class Decision(StrEnum):
    """What a person decided about a dead letter."""

    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"


def _printable(reason: str) -> str:
    """Escape control characters: a reason may quote a message, and databases and terminals must not see them raw."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in reason[:_LONGEST_REASON])


@frozen(kw_only=True)
class DeadMessage:
    """A message that could not be processed: its bytes as received, the reason, and the attempts."""

    body: bytes
    reason: str = field(converter=_printable)
    attempts: int = field(validator=ge(1))
    first_at: datetime
    last_at: datetime

    @property
    def digest(self) -> str:
        """Equal for equal messages, also for unreadable ones."""
        return sha256(self.body).hexdigest()


@define(kw_only=True)
class DeadLetter:
    """A message that waits for a person's decision, or had one. `event` is None if this version can't read it."""

    id: int = field(on_setattr=setters.frozen)
    consumer: str = field(on_setattr=setters.frozen)
    message: DeadMessage = field(on_setattr=setters.frozen)
    event: Event | None = field(on_setattr=setters.frozen)
    decision: Decision | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    def __attrs_post_init__(self) -> None:
        """Raise `ValueError` for half a decision."""
        if len({part is None for part in (self.decision, self.decided_by, self.decided_at)}) > 1:
            raise ValueError(f"dead letter {self.id}: a decision has an author and a time")

    def replay(self, *, by: str, at: datetime, history: Collection[Event], instead: Event | None = None) -> Event:
        """Return the event to be re-enqueued. `history` has all events of its order.

        With `instead`, that is an edited copy: of the same type, about the same order. Raise `UnreadableMessage`,
        `ForeignMessage` or `IllegalTransition`. What was accepted is in no history yet, so nothing vouches for what a
        copy of it says: it is replayed as it came, and checked again when it is recorded.
        """
        self._expect_undecided()
        event = instead or self.event
        if event is None:
            raise UnreadableMessage(
                f"dead letter {self.id} can't be read by this version ({self.message.reason}): discard it,"
                " or replay it with a version that can"
            )
        if self.event is not None and (event.type, event.order_id) != (self.event.type, self.event.order_id):
            raise ForeignMessage(
                f"an edited copy of dead letter {self.id} is {self.event.type} of order {self.event.order_id}, too"
            )
        if isinstance(event, ACCEPTED_TYPES):
            if event != self.event:
                raise ForeignMessage(
                    f"dead letter {self.id} can't be replayed with other words: it was accepted and is not recorded, so"
                    " nothing here says that a customer asked for them: replay it as it came, or have it asked for anew"
                )
        elif event not in history:
            raise ForeignMessage(
                f"dead letter {self.id} says what never happened here: order {event.order_id} has no such event;"
                " it was forged, or is from before a restore of the database: discard it"
            )
        self._decide(Decision.REPLAYED, by=by, at=at)
        return event

    def discard(self, *, by: str, at: datetime) -> None:
        """Raise `InvalidDecision` or `IllegalTransition`."""
        self._decide(Decision.DISCARDED, by=by, at=at)

    def _decide(self, decision: Decision, *, by: str, at: datetime) -> None:
        if not 1 <= len(by) <= _LONGEST_NAME:
            raise InvalidDecision(f"the name of the person who decides has 1 to {_LONGEST_NAME} characters")
        self._expect_undecided()
        self.decision, self.decided_by, self.decided_at = decision, by, at

    def _expect_undecided(self) -> None:
        if self.decision is not None:
            raise IllegalTransition(
                f"dead letter {self.id} was {self.decision.value} by {self.decided_by} at {self.decided_at}"
            )
