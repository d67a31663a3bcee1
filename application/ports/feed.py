"""The feed: all events of the shop in one order, each with its position."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, NewType, Protocol

from attrs import field, frozen

from domain.ids import CustomerId, OrderId
from domain.orders.events import ACCEPTED_TYPES, EVENT_TYPES, Event

# From 1, without gaps. Who has read up to a position never finds a new event at or below it.
Position = NewType("Position", int)

# The types that it has: an accepted order is in no history yet.
FED_TYPES: Final = frozenset(kind.type for kind in EVENT_TYPES if kind not in ACCEPTED_TYPES)


@frozen
class FeedItem:
    """An event at its position. `user_id` is the customer whose order it is about."""

    position: Position
    event: Event
    user_id: CustomerId


@frozen
class FeedBounds:
    """`oldest` is the first position that can be read, `newest` the last one that was given; 0 if there is none.

    While no event can be read, `oldest` is the position that comes after `newest`.
    """

    oldest: Position
    newest: Position


@frozen(kw_only=True)
class FeedFilter:
    """Which events a reader wants. None means all."""

    types: frozenset[str] | None = None
    order_id: OrderId | None = None
    user_id: CustomerId | None = None

    def wants(self, item: FeedItem) -> bool:
        return (
            (self.types is None or item.event.type in self.types)
            and (self.order_id is None or self.order_id == item.event.order_id)
            and (self.user_id is None or self.user_id == item.user_id)
        )


EVERYTHING = FeedFilter()


@frozen(kw_only=True)
class FeedRange:
    """The positions above `after`, up to `until`."""

    after: Position
    until: Position
    only: FeedFilter = field(default=EVERYTHING)


class Feed(Protocol):
    """The events in the order of their positions, and those that are committed and wait for theirs."""

    async def give_positions(self, *, by: str, limit: int) -> int:
        """Give the oldest events that have none the next positions, those of one order in sequence. Return how many.

        These are `limit`, if as many wait, and may be more by those that one transaction has written.
        None while another relay than `by` holds the lease for it; otherwise, the lease is taken or renewed. It is not
        the one of the outbox. Raise `Aborted` if the relay lost it meanwhile.
        """

    async def release(self, *, by: str) -> None:
        """Release the lease, so that another relay need not wait for its end."""

    async def bounds(self) -> FeedBounds: ...

    async def read(self, of: FeedRange, *, limit: int) -> list[FeedItem]:
        """The first events of a range, by position."""

    async def given_at(self, order_id: OrderId) -> Mapping[int, datetime]:
        """When each event of an order got its position, by its sequence, as far as the feed still has it."""

    async def count(self, of: FeedRange) -> int:
        """How many events of a range have these types. It has no other filter."""

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        """Forget the positions that were given before that time, the oldest first. Return how many. Events stay."""


def types_among(known: Collection[str], patterns: Collection[str]) -> frozenset[str]:
    """The types that the patterns name. A pattern is a type, or the beginning of types and `*`: `order.*`."""
    return frozenset(
        type_
        for type_ in known
        for pattern in patterns
        if (type_.startswith(pattern[:-1]) if pattern.endswith("*") else type_ == pattern)
    )
