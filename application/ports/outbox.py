"""The outbox, and what has left it and still waits: announcements that were refused, and work."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from attrs import frozen

from domain.ids import OrderId
from domain.orders.events import Event, EventId


@frozen
class OutboxEntry:
    """An event on its way to the broker, encoded. `position` is its place in the outbox.

    `first_put_off` is the position of the first announcement of its order that waits among the `Announcements`.
    """

    position: int
    id: EventId
    type: str
    body: bytes
    first_put_off: int | None = None

    @property
    def held_up(self) -> bool:
        """Whether an announcement of its order waits, so that its own has to wait, too."""
        return self.first_put_off is not None

    @property
    def is_put_off(self) -> bool:
        """Whether its own announcement is the one that waits."""
        return self.first_put_off == self.position


class Waits(StrEnum):
    """Where an event is that is not done yet."""

    OUTBOX = "outbox"
    # Its queue has refused it, and it is tried again.
    AT_ITS_QUEUE = "at its queue"
    # Others' queues have refused it, or an earlier one of its order.
    PUT_OFF = "put off"


# How long a relay keeps the others out after its last claim.
LEASE_SECONDS: Final = 5


class Outbox(Protocol):
    """The events that are not done yet: each is to be announced or put off. Work is to be enqueued or put off, too."""

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        """The oldest entries, the events of one order in sequence; none while another relay holds the lease.

        A call makes the relay's lease last for up to `LEASE_SECONDS` by the clock of the database. When the relay is
        gone, the lease ends by itself within that time, whether the clock is set meanwhile or not.
        """

    async def renew(self, *, by: str) -> bool:
        """Make the lease last anew, also if it has ended. Return False if another relay has taken it since."""

    async def release(self, *, by: str) -> None:
        """Release the lease, so that another relay need not wait for its end."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None: ...

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        """Put events into the outbox again that the broker may have lost.

        One that is still there, or in the `WaitingWork`, is not put there twice.
        """

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        """The entries by position, above `after`. It claims nothing."""

    async def waiting(self, order_id: OrderId) -> dict[EventId, Waits]:
        """The events of one order that are not done yet, here and where what has left the outbox waits."""


@frozen(kw_only=True)
class Announcement:
    """An announcement that was put off. `attempts` counts refusals, `since` is when it was first put off.

    It waits for `delay` from when it is stored, by the clock of the database: two relays may have two clocks. The delay
    is no longer known when it is read.
    """

    entry: OutboxEntry
    attempts: int
    since: datetime
    delay: timedelta = timedelta(0)


# An announcement is put off for so long at most. One that would wait longer is due: the database's clock was set back.
LONGEST_DELAY: Final = timedelta(hours=4)


class Announcements(Protocol):
    """The announcements that others' queues refused, and the later ones of the same orders, which wait behind them."""

    async def put_off(self, announcements: Sequence[Announcement]) -> None:
        """Keep them; one that is here already is replaced."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None: ...

    async def due(self, *, within: timedelta, by: str, limit: int) -> list[Announcement]:
        """All announcements of the orders that have one whose delay has passed, or will have, by order in sequence.

        Of so many orders at most, the longest due first. None while another relay than `by` holds the lease.
        """


class WaitingWork(Protocol):
    """The work that its queue has refused. It has left the outbox, so that other events don't wait behind it."""

    async def put_off(self, entries: Sequence[OutboxEntry]) -> None:
        """Keep them; one that is here already is replaced."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None: ...

    async def oldest(self, type_: str, *, by: str, limit: int) -> list[OutboxEntry]:
        """The oldest entries of one type, by position. There are none while another relay than `by` holds the lease."""

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        """The entries by position, above `after`. It claims nothing."""
