from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from adapters.memory.repositories.outbox import release_lease, take_lease
from adapters.memory.store import Changes
from application.ports.feed import FeedBounds, FeedItem, FeedRange, Position
from domain.ids import OrderId

_FEED: Final = "feed"


@frozen
class MemoryFeed:
    _changes: Changes

    async def give_positions(self, *, by: str, limit: int) -> int:
        if not take_lease(self._changes, _FEED, by):
            return 0
        store = self._changes.store
        waiting = store.feed_queue[:limit]
        for position, id_ in enumerate(waiting, store.feed_given + 1):
            self._changes.fed[Position(position)] = (id_, store.now())
        return len(waiting)

    async def release(self, *, by: str) -> None:
        release_lease(self._changes, _FEED, by)

    async def bounds(self) -> FeedBounds:
        return FeedBounds(Position(self._changes.store.feed_pruned + 1), self._changes.store.feed_given)

    async def read(self, of: FeedRange, *, limit: int) -> list[FeedItem]:
        store = self._changes.store
        items: list[FeedItem] = []
        for number in range(of.after + 1, of.until + 1):
            if len(items) == limit:
                break
            if (found := store.feed.get(Position(number))) is not None:
                event = store.events[found[0]]
                item = FeedItem(Position(number), event, store.orders[event.order_id].user_id)
                items += [item] if of.only.wants(item) else []
        return items

    async def given_at(self, order_id: OrderId) -> dict[int, datetime]:
        found = self._changes.store.feed.values()
        return {id_.sequence: at for id_, at in found if id_.order_id == order_id}

    async def count(self, of: FeedRange) -> int:
        return len(await self.read(of, limit=of.until))

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        store = self._changes.store
        before = store.now() - older_than
        last = store.feed_pruned
        while last - store.feed_pruned < limit:
            following = store.feed.get(Position(last + 1))
            if following is None or following[1] >= before:
                break
            last = Position(last + 1)
        self._changes.feed_pruned = last
        return last - store.feed_pruned
