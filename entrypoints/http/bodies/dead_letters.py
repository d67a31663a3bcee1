"""The JSON of dead letters."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.codecs.events import BadMessage, decode
from application.messaging.find_dead_letters import Groups
from application.operations.trial import Trial
from application.ports.audit import MAX_TEXT
from domain.dead_letter import DeadLetter, Decision
from domain.dead_letter_groups import LetterGroup, cause_in
from domain.orders.events import Event
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.field_errors import PRINTABLE, Rule
from entrypoints.http.refusals import InvalidRequest, in_body

# Characters of a message that are shown. One that is longer was no event.
_LONGEST_MESSAGE = 65_536


def event_in(message: str) -> Event:
    """Return the event that an edited message is. Raise `InvalidRequest`."""
    try:
        return decode(message.encode(errors="surrogatepass"))
    except BadMessage as error:
        raise InvalidRequest(in_body("message", f"it is no event: {error}")) from None


Edited = Annotated[str, Meta(min_length=1, max_length=_LONGEST_MESSAGE), Rule(event_in)]
Reason = Annotated[str, Meta(max_length=MAX_TEXT, pattern=PRINTABLE)]


class LetterGroupBody(Struct, frozen=True):
    """How many letters have one cause. `failed_again` counts those that were replayed before."""

    queue: str
    error: str
    place: str
    count: int
    failed_again: int
    first_at: datetime
    last_at: datetime

    @classmethod
    def of(cls, group: LetterGroup) -> "LetterGroupBody":
        cause = group.cause
        return cls(
            cause.queue, cause.error, cause.place, group.count, group.failed_again, group.first_at, group.last_at
        )


class LetterGroupsBody(Struct, frozen=True):
    """With `more`, only the oldest 10,000 letters were looked at."""

    groups: list[LetterGroupBody]
    more: bool

    @classmethod
    def of(cls, found: Groups) -> "LetterGroupsBody":
        return cls([LetterGroupBody.of(group) for group in found.groups], found.more)


class DeadLetterBody(Struct, frozen=True, kw_only=True):
    """`order_id` and `type` are null for a message that this release can't read."""

    id: int
    queue: str
    error: str
    place: str
    reason: str
    attempts: int
    first_at: datetime
    last_at: datetime
    order_id: UUID | None
    type: str | None
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None
    bytes: int
    # Where one letter is asked for. What is no UTF-8 is escaped.
    message: str | UnsetType = UNSET

    @classmethod
    def of(cls, letter: DeadLetter, *, whole: bool = False) -> "DeadLetterBody":
        message, event = letter.message, letter.event
        cause = cause_in(letter.consumer, message.reason)
        return cls(
            id=letter.id,
            queue=cause.queue,
            error=cause.error,
            place=cause.place,
            reason=message.reason,
            attempts=message.attempts,
            first_at=message.first_at,
            last_at=message.last_at,
            order_id=None if event is None else event.order_id,
            type=None if event is None else event.type,
            decision=letter.decision,
            decided_by=letter.decided_by,
            decided_at=letter.decided_at,
            bytes=len(message.body),
            message=message.body[:_LONGEST_MESSAGE].decode(errors="backslashreplace") if whole else UNSET,
        )


class DeadLettersBody(Struct, frozen=True):
    items: list[DeadLetterBody]
    next: str | None


class TryBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    """With a `message`, an edited copy is tried."""

    message: Edited | None = None

    def instead(self) -> Event | None:
        """Return the edited copy. Raise `InvalidRequest`."""
        return None if self.message is None else event_in(self.message)


class ReplayBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    """Why it is replayed, for the audit. With a `message`, this edited copy is."""

    reason: Reason = ""
    message: Edited | None = None

    def instead(self) -> Event | None:
        """Return the edited copy. Raise `InvalidRequest`."""
        return None if self.message is None else event_in(self.message)


class ChangeBody(Struct, frozen=True):
    """A value that would be another one. `of` is order, product, payment or job; `before` is null for what is new."""

    of: str
    id: str
    name: str
    before: int | bool | str | None
    after: int | bool | str | None


class ProviderCallBody(Struct, frozen=True):
    """What the provider would be asked. One that is `known` was answered before, and moves no money again."""

    operation: str
    payment_id: UUID
    amount: int
    currency: str
    known: bool


class TrialErrorBody(Struct, frozen=True):
    """What the replay would be refused for, or would fail with again."""

    type: str
    detail: str


class TrialBody(Struct, frozen=True):
    """What a replay would do. Nothing was done. `queue` is null if no worker has anything to do with the message."""

    queue: str | None
    error: TrialErrorBody | None
    changes: list[ChangeBody]
    events: list[str]
    provider: list[ProviderCallBody]

    @classmethod
    def of(cls, trial: Trial) -> "TrialBody":
        return cls(
            trial.queue,
            None if trial.error is None else TrialErrorBody(type(trial.error).__name__, str(trial.error)),
            [ChangeBody(each.of, each.id, each.name, each.before, each.after) for each in trial.changes],
            list(trial.events),
            [
                ProviderCallBody(each.operation, each.payment_id, each.amount.minor, each.amount.currency, each.known)
                for each in trial.provider
            ],
        )


class DiscardBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is discarded, for the audit."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=PRINTABLE)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1
