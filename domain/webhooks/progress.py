"""How far an endpoint has got in the feed, and how it answers."""

from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, setters

from domain.ids import EndpointId
from domain.moments import is_past
from domain.webhooks.schedule import (
    FAILING_FOR,
    FAILURES_TO_DISABLE,
    FAILURES_TO_PAUSE,
    LONGEST_PAUSE,
    LONGEST_REST,
    rest_after,
)

# A round ends long before. After the end, another sender serves the endpoint.
LEASE: Final = timedelta(seconds=60)
# An endpoint that has failed so often in a row is served beside the others, with one delivery at a time.
FAILURES_TO_SUSPECT: Final = 3
# No endpoint is paced further ahead.
LONGEST_PACE: Final = timedelta(seconds=3)


@define(kw_only=True)
class Progress:
    """Each event above `began_after`, up to `position`, has a delivery or is counted here.

    It was `filtered`: the endpoint does not want its type. Or it was `lost`: the feed no longer had it when its turn
    came. Or its delivery was `removed` some time after its end; the last of these has the position `removed_to`.
    Since the position `chosen_after`, the choice of events is that of the endpoint's version `chosen_by`.
    """

    endpoint_id: EndpointId = field(on_setattr=setters.frozen)
    began_after: int = field(on_setattr=setters.frozen)
    position: int
    # Events up to here are skipped, since the endpoint was disabled when they happened.
    skip_to: int = 0
    filtered: int = 0
    lost: int = 0
    removed: int = 0
    removed_to: int = 0
    chosen_after: int
    chosen_by: int = 1
    # The next time of the deliveries that are open.
    due_at: datetime | None = None
    # Nothing is sent before.
    rests_until: datetime | None = None
    # Failures in a row, and how often in a row the endpoint was given a rest.
    failures: int = 0
    rests: int = 0
    failing_since: datetime | None = None
    # The deliveries that have begun use up the rate until then, and so none begins before `ready_at`.
    paced_until: datetime | None = None
    ready_at: datetime | None = None
    # Whether there is any delivery that has not arrived, so that nobody looks for one where all is well.
    is_troubled: bool = False
    served_at: datetime | None = None
    served_by: str | None = None
    leased_until: datetime | None = None

    @property
    def passed(self) -> int:
        """The position up to which nothing is to be sent any more: it has been, or will be skipped."""
        return max(self.position, self.skip_to)

    @property
    def is_suspect(self) -> bool:
        return self.failures >= FAILURES_TO_SUSPECT

    @property
    def is_on_probation(self) -> bool:
        """Whether the rest is over, and one delivery finds out how the receiver is."""
        return self.rests > 0

    def is_free(self, now: datetime) -> bool:
        return self.leased_until is None or is_past(self.leased_until, now, longest=LEASE)

    def is_waiting(self, now: datetime, *, newest: int) -> bool:
        """Whether a sender may take it, and has something to do for it. `newest` is the last position of the feed."""
        due_at = self.due_at
        return (
            self.is_free(now)
            and not self.rests_at(now)
            and is_past(self.ready_at, now, longest=LONGEST_PACE)
            and (self.position < newest or (due_at is not None and is_past(due_at, now, longest=LONGEST_PAUSE)))
        )

    def rests_at(self, now: datetime) -> bool:
        return self.rests_until is not None and not is_past(self.rests_until, now, longest=LONGEST_REST)

    def is_held(self, by: str, since: datetime) -> bool:
        """Whether the one who took it then has it still."""
        return self.served_by == by and self.served_at == since and self.leased_until is not None

    def take(self, by: str, *, at: datetime) -> None:
        self.served_by, self.served_at, self.leased_until = by, at, at + LEASE

    def give_back(self) -> None:
        self.leased_until = None

    def move_to(self, position: int, *, filtered: int, lost: int, version: int) -> None:
        """Go on after a position, by the choice of events that the endpoint had in this version."""
        if version != self.chosen_by:
            self.chosen_after, self.chosen_by = self.position, version
        self.position = position
        self.filtered += filtered
        self.lost += lost

    def succeed(self) -> None:
        """The receiver has answered well."""
        self.failures = self.rests = 0
        self.failing_since = self.rests_until = None

    def fail(self, *, at: datetime) -> None:
        """Count a failure. After some in a row the endpoint is given a rest, each time a longer one."""
        self.failures += 1
        since, rested_until = self.failing_since, self.rests_until
        # Of the time in which nothing was sent, because the shop was closed or had nothing to send, nothing is known.
        was_left = rested_until is not None and at - rested_until > LONGEST_PAUSE
        if since is None or since > at or was_left:
            self.failing_since = at
        if self.failures >= FAILURES_TO_PAUSE and not self.rests_at(at):
            self.rests += 1
            self.rests_until = at + rest_after(self.rests)

    def end_rest(self) -> None:
        """Let the next round try at once. What has failed stays counted: one delivery finds out how the receiver is."""
        self.rests_until = None

    def begin_anew(self) -> None:
        """End the rest, and the time of nothing but failures: another receiver answers, or this one has answered."""
        self.end_rest()
        self.failing_since = None

    def has_failed_for_too_long(self, at: datetime) -> bool:
        since = self.failing_since
        return since is not None and at - since >= FAILING_FOR and self.failures >= FAILURES_TO_DISABLE

    def stand(self, due_at: datetime | None, *, is_troubled: bool) -> None:
        """Note when the next open delivery is due, and whether any has not arrived."""
        self.due_at, self.is_troubled = due_at, is_troubled

    def room(self, rate_per_s: int | None, *, at: datetime) -> int | None:
        """How many deliveries may begin now. None: any number. A second's worth may come at once."""
        if rate_per_s is None:
            return None
        ahead = (self._paced(at) - at).total_seconds()
        return max(0, int(rate_per_s * (1.0 - ahead) + 1e-6))

    def pace(self, sent: int, rate_per_s: int | None, *, at: datetime) -> None:
        """Note how many deliveries have begun."""
        if rate_per_s is None:
            self.paced_until = self.ready_at = None
        elif sent:
            self.paced_until = self._paced(at) + timedelta(seconds=sent / rate_per_s)
            self.ready_at = self.paced_until - timedelta(seconds=1 - 1 / rate_per_s)

    def _paced(self, at: datetime) -> datetime:
        paced = self.paced_until
        # Nobody is ever paced further ahead than this: a clock was set.
        return at if paced is None or is_past(paced, at, longest=LONGEST_PACE) else paced


def begun_after(endpoint_id: EndpointId, position: int, *, version: int = 1) -> Progress:
    """Return the progress of an endpoint that gets what comes after a position."""
    return Progress(
        endpoint_id=endpoint_id, began_after=position, position=position, chosen_after=position, chosen_by=version
    )
