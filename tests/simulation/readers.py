"""Readers of the feed. Each keeps what it has read up to a position, crashes, and goes on after that position."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from random import Random
from typing import Any

from attrs import define, field

from adapters.memory.store import MemoryStore
from application.access.principal import SYSTEM
from application.ports.feed import EVERYTHING, FeedItem, Position
from domain.ids import OrderId
from domain.orders.events import event_id
from tests.simulation.faults import Faults
from tests.simulation.house import House
from tests.simulation.loop import ended


@define(eq=False)
class FeedReader:
    """Reads through whichever API answers, page by page or by following the tail."""

    name: str
    follows: bool
    _faults: Faults
    _chance: Random
    _houses: Callable[[], list[House]]
    # What it has read, and the position after which it goes on. It keeps both at once.
    kept: list[FeedItem] = field(factory=list, init=False)
    position: Position = field(default=Position(0), init=False)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1 + 2 * self._chance.random())
            houses = self._houses()
            if houses:
                await self._read_from(self._chance.choice(houses))

    async def _read_from(self, house: House) -> None:
        read: list[FeedItem] = []
        work: Coroutine[Any, Any, Position] = self._follow(house, read) if self.follows else self._page(house, read)
        reading = house.process.begin(work)
        await ended(reading)
        # A reader may crash before it has kept what it read. It reads that again.
        if not reading.cancelled() and reading.exception() is None and not self._faults.happens(0.2):
            self.kept += read
            self.position = reading.result()

    async def _page(self, house: House, read: list[FeedItem]) -> Position:
        limit = self._chance.choice((1, 3, 100))
        page = await house.use_cases.read_feed(SYSTEM, after=self.position, only=EVERYTHING, limit=limit)
        read += page.items
        return page.next

    async def _follow(self, house: House, read: list[FeedItem]) -> Position:
        follower = await house.use_cases.follow_feed(SYSTEM, after=self.position, only=EVERYTHING)
        try:
            for _ in range(3):
                read += await follower.next(0.5)
            return follower.position
        finally:
            follower.close()


def behind(store: MemoryStore, readers: Sequence[FeedReader]) -> Iterator[str]:
    if store.feed_queue:
        yield f"{len(store.feed_queue)} events have no position"
    for reader in readers:
        if reader.position < store.feed_given:
            yield f"{reader.name} has read up to {reader.position} of {store.feed_given} positions"


def gaps(store: MemoryStore, readers: Sequence[FeedReader]) -> Iterator[str]:
    """Each reader has every event of the history once, at positions without gaps, those of an order in sequence."""
    for reader in readers:
        positions = [item.position for item in reader.kept]
        if positions != list(range(1, len(store.events) + 1)):
            yield f"{reader.name} has read the positions {positions} of {len(store.events)} events"
        sequences: dict[OrderId, list[int]] = defaultdict(list)
        for item in reader.kept:
            sequences[item.event.order_id].append(item.event.sequence)
            if store.events.get(event_id(item.event)) != item.event:
                yield f"{reader.name} has read {event_id(item.event)} at {item.position}, which never happened"
        for order in store.orders.values():
            if sequences[order.id] != list(range(1, order.version + 1)):
                yield f"order {order.id} has {order.version} events, and {reader.name} has read {sequences[order.id]}"
