from collections.abc import Sequence
from typing import Final

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.ports.feed import FeedBounds, FeedFilter, FeedItem, FeedRange, Position
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError

# The most positions that are looked through for one page, if there is a filter.
_LOOKED_THROUGH: Final = 10_000


class PositionNotKept(DomainError):
    """The feed has nothing after this position: it is too old, or was never given."""

    code = "position_not_kept"

    def __init__(self, after: Position, bounds: FeedBounds) -> None:
        self.bounds = bounds
        if after > bounds.newest:
            what = f"position {after} was never given: the newest is {bounds.newest}"
        else:
            what = f"the events after position {after} are not kept any more: the oldest position is {bounds.oldest}"
        super().__init__(f"{what}. Read the orders anew, and go on after position {bounds.newest}")


@frozen
class FeedPage:
    """Some events, and the position to go on after, which may be higher than that of the last event."""

    items: Sequence[FeedItem]
    next: Position
    newest: Position


@frozen
class ReadFeed:
    """Read the events after a position. The page may be empty although more follow: `next` tells."""

    _unit_of_work: UnitOfWork
    _looked_through: int = field(default=_LOOKED_THROUGH, kw_only=True)

    async def __call__(self, by: Principal, *, after: Position | None, only: FeedFilter, limit: int) -> FeedPage:
        """Without `after`, begin with the oldest event. A customer reads the events of its own orders.

        Raise `PositionNotKept`.
        """
        return await self.page(after=after, only=own(by, only), limit=limit)

    async def page(self, *, after: Position | None, only: FeedFilter, limit: int) -> FeedPage:
        async with self._unit_of_work.reading() as tx:
            bounds = await tx.feed.bounds()
            begin = Position(bounds.oldest - 1) if after is None else after
            if not bounds.oldest - 1 <= begin <= bounds.newest:
                raise PositionNotKept(begin, bounds)
            until = bounds.newest
            # The events of one order are found by an index, those of one customer or type are not.
            if only.order_id is None and (only.types is not None or only.user_id is not None):
                until = Position(min(until, begin + self._looked_through))
            of = FeedRange(after=begin, until=until, only=only)
            items = await tx.feed.read(of, limit=limit) if begin < until else []
        return FeedPage(items, items[-1].position if len(items) == limit else until, bounds.newest)

    async def bounds(self) -> FeedBounds:
        async with self._unit_of_work.reading() as tx:
            return await tx.feed.bounds()


def own(by: Principal, only: FeedFilter) -> FeedFilter:
    return only if by.user_id is None else evolve(only, user_id=by.user_id)
