"""Dead letters with the same cause: the queue, the error, and the place in the code where it was raised."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from attrs import field, frozen

_LONGEST_ERROR: Final = 100
_LONGEST_PLACE: Final = 200
_REASON: Final = re.compile(rf"(?P<error>[^\W\d][\w.]{{0,{_LONGEST_ERROR - 1}}})(?: in (?P<place>[\w.<>]+))?: ")
# As many characters of a reason say what its cause is.
CAUSE_IN: Final = _LONGEST_ERROR + _LONGEST_PLACE + 10


@frozen(kw_only=True, order=True)
class Cause:
    """`place` is empty if it is not known, as for what a rule has refused without raising."""

    queue: str
    error: str
    place: str = ""


def reason_of(error: str, place: str, message: str) -> str:
    """Return the reason of a dead letter, in which `cause_in` finds the error and the place again."""
    where = f" in {place[:_LONGEST_PLACE]}" if place else ""
    return f"{error[:_LONGEST_ERROR]}{where}: {message}"


def cause_in(queue: str, reason: str) -> Cause:
    """Return the cause that a reason names. One that names none, as a broker's, is an error of its own."""
    found = _REASON.match(reason)
    if found is None:
        return Cause(queue=queue, error=reason[:_LONGEST_ERROR])
    return Cause(queue=queue, error=found["error"], place=found["place"] or "")


@frozen(kw_only=True)
class CauseFilter:
    """What is given must hold."""

    queue: str | None = None
    error: str | None = None
    place: str | None = None

    def takes(self, cause: Cause) -> bool:
        return all(
            wanted is None or wanted == found
            for wanted, found in (
                (self.queue, cause.queue),
                (self.error, cause.error),
                (self.place, cause.place),
            )
        )

    def meets(self, other: "CauseFilter") -> bool:
        """Whether there can be a letter that both take."""
        return all(
            ours is None or theirs is None or ours == theirs
            for ours, theirs in (
                (self.queue, other.queue),
                (self.error, other.error),
                (self.place, other.place),
            )
        )


@frozen(kw_only=True)
class LetterSummary:
    """A dead letter without its message. `reason` may be cut off.

    `failed_again`: the same message was replayed before, and is a dead letter once more.
    """

    id: int
    consumer: str
    reason: str
    first_at: datetime
    last_at: datetime
    failed_again: bool

    @property
    def cause(self) -> Cause:
        return cause_in(self.consumer, self.reason)


@frozen(kw_only=True)
class LetterGroup:
    """How many letters have one cause. `failed_again` counts those that were replayed before."""

    cause: Cause
    count: int = field(default=0)
    failed_again: int = field(default=0)
    first_at: datetime
    last_at: datetime


def grouped(letters: Iterable[LetterSummary]) -> list[LetterGroup]:
    """Return the groups, the largest first."""
    by_cause: dict[Cause, list[LetterSummary]] = {}
    for letter in letters:
        by_cause.setdefault(letter.cause, []).append(letter)
    groups = [
        LetterGroup(
            cause=cause,
            count=len(found),
            failed_again=sum(letter.failed_again for letter in found),
            first_at=min(letter.first_at for letter in found),
            last_at=max(letter.last_at for letter in found),
        )
        for cause, found in by_cause.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.cause))
