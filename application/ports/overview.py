"""What the shop looks like at this moment, in numbers that are cheap to read however large it is."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from attrs import frozen

from application.ports.payments import ProviderSilence
from domain.ids import OrderId
from domain.orders.status import OrderStatus


@frozen
class WaitingOrder:
    """An order that waits for the worker, and since when."""

    id: OrderId
    status: OrderStatus
    since: datetime


@frozen(kw_only=True)
class FailingReceivers:
    """The enabled webhook endpoints that were given a rest and have taken nothing since.

    `since` and `answer` are those of the one that has failed for the longest time. `answer` is as in a delivery's
    outcome, and empty if there is none.
    """

    number: int
    since: datetime
    answer: str


@frozen(kw_only=True)
class Waiting:
    """What is not done yet. Numbers that grow without end are counted up to 10,000, or 1,000 for orders and letters."""

    outbox: int
    # How long the oldest event in the outbox has waited; zero if there is none.
    oldest_event: timedelta
    # The order that has waited for the worker for the longest time.
    oldest_order: WaitingOrder | None
    # Orders that wait for the worker.
    orders: int
    dead_letters: int
    # Orders that have waited for too long, by what they wait for: PROCESSING and REFUND.
    stuck: Mapping[str, int]
    # How far the slowest webhook endpoint that is enabled is behind the feed.
    webhook_lag: timedelta
    failing_receivers: FailingReceivers | None
    # Webhook endpoints that the shop has disabled by itself.
    disabled_receivers: int


@frozen
class Process:
    """A process, and how long ago it was heard of. None: in the future, since the database's clock was set back."""

    kind: str
    instance: str
    heard: timedelta | None


@frozen(kw_only=True)
class ActiveRelay:
    """The relay that publishes: the name under which it holds the lease, by the clock of the database."""

    name: str
    # None: a process of an earlier release took the lease, which did not note it.
    since: datetime | None
    # It renews the lease before.
    until: datetime


@frozen(kw_only=True)
class Upkeep:
    """Who is at work, and what the last consistency check has found, by kind. `checked_at`: it saw everything then."""

    processes: Sequence[Process]
    # None: none publishes.
    relay: ActiveRelay | None
    discrepancies: Mapping[str, int]
    checked_at: datetime | None


class Overview(Protocol):
    """Each method raises `Unavailable`."""

    async def accepted(self, moments: Sequence[datetime], *, most: int) -> list[int]:
        """How many orders were placed between each two of the moments, which are in order; `most` for each at most."""

    async def times_to_paid(self, *, events: int) -> list[timedelta]:
        """How long each order took from its placing to its payment, of those paid for in the last so many events."""

    async def waiting(self, *, stuck_after: timedelta) -> Waiting: ...

    async def upkeep(self) -> Upkeep: ...

    async def provider_silence(self) -> ProviderSilence | None:
        """Whether the payment provider gives no answers, as those at work report it every few seconds."""


@frozen(kw_only=True)
class QueueState:
    """How much is in a queue of our own worker, and in the tiers behind it. What is None, the broker does not tell."""

    name: str
    # What waits for a consumer, and what a consumer has got and not settled.
    ready: int = 0
    unacked: int | None = None
    consumers: int = 0
    # What waits for its next attempt: soon, in the worker, or for the last delay, as in an outage.
    retry: int | None = None
    later: int = 0
    # Dead letters on their way into the table.
    dead: int = 0
    # Why the queue can't be read, if that is so.
    problem: str = ""


class Queues(Protocol):
    async def look(self) -> list[QueueState]:
        """Every queue of work. Nothing is taken from one. Raise `Unavailable`: the broker does not answer."""
