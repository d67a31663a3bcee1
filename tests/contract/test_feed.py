"""The feed: in memory, and on every database."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from application.errors import NotDone
from application.ports.feed import EVERYTHING, FeedBounds, FeedFilter, FeedItem, FeedRange, Position
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId, UserId, UserName
from domain.orders.events import Event, EventId, OrderCancelled, event_id
from tests.contract.conftest import keep
from tests.unit.builders import LATER, a_line, a_product, placed


@pytest.fixture
async def shop(unit_of_work: UnitOfWork) -> UnitOfWork:
    await keep(unit_of_work, products=[a_product(1)])
    return unit_of_work


def cancelled(number: int, sequence: int) -> Event:
    return OrderCancelled(order_id=OrderId(UUID(int=number)), sequence=sequence, at=LATER)


async def add_orders(unit_of_work: UnitOfWork, *numbers: int) -> list[Event]:
    new = [placed(a_line(), number=number) for number in numbers]
    async with unit_of_work() as tx:
        await tx.orders.add_many([order for order, _ in new])
        await tx.events.add_many([event for _, event in new])
    return [event for _, event in new]


async def add(unit_of_work: UnitOfWork, *events: Event) -> None:
    async with unit_of_work() as tx:
        await tx.events.add_many(events)


async def give(unit_of_work: UnitOfWork, *, by: str = "relay 1", limit: int = 100) -> int:
    async with unit_of_work() as tx:
        return await tx.feed.give_positions(by=by, limit=limit)


async def read(
    unit_of_work: UnitOfWork, after: int = 0, only: FeedFilter = EVERYTHING, limit: int = 1000
) -> list[FeedItem]:
    async with unit_of_work.reading() as tx:
        newest = (await tx.feed.bounds()).newest
        return await tx.feed.read(FeedRange(after=Position(after), until=newest, only=only), limit=limit)


async def bounds(unit_of_work: UnitOfWork) -> FeedBounds:
    async with unit_of_work.reading() as tx:
        return await tx.feed.bounds()


def ids(items: list[FeedItem]) -> list[EventId]:
    return [event_id(item.event) for item in items]


async def test_each_event_gets_the_next_position_once(shop: UnitOfWork) -> None:
    assert await bounds(shop) == FeedBounds(Position(1), Position(0))
    events = await add_orders(shop, 3, 1, 2)
    await add(shop, cancelled(3, 2), cancelled(3, 3))

    assert await give(shop) == 5
    assert await give(shop) == 0

    items = await read(shop)
    assert [item.position for item in items] == [1, 2, 3, 4, 5]
    assert [item.event for item in items] == [*events, cancelled(3, 2), cancelled(3, 3)]
    assert {item.user_id for item in items} == {1}
    assert await bounds(shop) == FeedBounds(Position(1), Position(5))


async def test_an_event_can_be_read_when_it_has_its_position_and_not_before(shop: UnitOfWork) -> None:
    await add_orders(shop, 1)
    assert await read(shop) == []
    await give(shop)
    await add(shop, cancelled(1, 2))
    assert len(await read(shop)) == 1


async def test_a_limit_takes_the_oldest(shop: UnitOfWork) -> None:
    for number in (1, 2, 3):
        await add_orders(shop, number)
    assert await give(shop, limit=2) == 2
    assert [item.event.order_id.int for item in await read(shop)] == [1, 2]
    assert await give(shop, limit=2) == 1
    assert [item.event.order_id.int for item in await read(shop, after=2)] == [3]
    assert [item.position for item in await read(shop, limit=2)] == [1, 2]


async def test_a_limit_is_reached_by_what_was_written_together_and_then_no_more_is_taken(shop: UnitOfWork) -> None:
    """One transaction may have written more events than the limit. What it wrote need not be taken apart."""
    for numbers in ((1, 2), (3, 4, 5), (6,), (7, 8)):
        await add_orders(shop, *numbers)
    given = [await give(shop, limit=3) for _ in range(4)]
    assert sum(given) == 8
    assert 3 <= given[0] <= 5
    assert [item.event.order_id.int for item in await read(shop)] == list(range(1, 9))


async def test_many_that_were_written_one_by_one_get_positions_in_one_step(shop: UnitOfWork) -> None:
    await add_orders(shop, 1)
    async with shop() as tx:
        for sequence in range(2, 151):
            await tx.events.add_many([cancelled(1, sequence)])
    assert await give(shop, limit=140) == 140
    assert await give(shop, limit=140) == 10
    assert [item.event.sequence for item in await read(shop)] == list(range(1, 151))


async def test_what_is_rolled_back_leaves_no_gap(shop: UnitOfWork) -> None:
    await add_orders(shop, 1)
    with suppress(ZeroDivisionError):
        async with shop() as tx:
            await tx.feed.give_positions(by="relay 1", limit=10)
            raise ZeroDivisionError
    with suppress(ZeroDivisionError):
        async with shop() as tx:
            await tx.events.add_many([cancelled(1, 2)])
            raise ZeroDivisionError
    await add(shop, cancelled(1, 3))
    assert await give(shop) == 2
    assert [(item.position, item.event.sequence) for item in await read(shop)] == [(1, 1), (2, 3)]


async def test_an_event_that_is_put_into_the_outbox_again_gets_no_second_position(shop: UnitOfWork) -> None:
    [event] = await add_orders(shop, 1)
    await give(shop)
    async with shop() as tx:
        await tx.outbox.re_enqueue([event])
    assert await give(shop) == 0
    assert len(await read(shop)) == 1


async def test_one_relay_at_a_time_gives_positions(shop: UnitOfWork) -> None:
    await add_orders(shop, 1)
    await add_orders(shop, 2)
    assert await give(shop, by="relay 1", limit=1) == 1
    assert await give(shop, by="relay 2") == 0
    async with shop() as tx:
        # Another relay may publish meanwhile.
        assert len(await tx.outbox.claim(by="relay 2", limit=9)) == 2
        await tx.feed.release(by="relay 2")
    assert await give(shop, by="relay 2") == 0
    async with shop() as tx:
        await tx.feed.release(by="relay 1")
    assert await give(shop, by="relay 2") == 1
    assert await give(shop, by="relay 1") == 0


async def test_a_filter_takes_what_it_names(shop: UnitOfWork) -> None:
    await add_orders(shop, 1, 2)
    await add(shop, cancelled(1, 2), cancelled(2, 2))
    await give(shop)

    async def positions(only: FeedFilter, after: int = 0) -> list[int]:
        return [item.position for item in await read(shop, after, only)]

    first, cancellations = OrderId(UUID(int=1)), frozenset({"order.cancelled"})
    assert await positions(FeedFilter(types=cancellations)) == [3, 4]
    assert await positions(FeedFilter(types=frozenset())) == []
    assert await positions(FeedFilter(order_id=first)) == [1, 3]
    assert await positions(FeedFilter(order_id=first), after=1) == [3]
    assert await positions(FeedFilter(order_id=first, types=cancellations, user_id=UserId(1))) == [3]
    assert await positions(FeedFilter(user_id=UserId(1))) == [1, 2, 3, 4]
    assert await positions(FeedFilter(user_id=UserId(2))) == []
    assert await positions(FeedFilter(user_id=UserName("ana"))) == []
    assert await positions(FeedFilter(order_id=OrderId(UUID(int=7)))) == []


async def test_a_pruned_feed_begins_later_and_goes_on(shop: UnitOfWork) -> None:
    await add_orders(shop, 1, 2, 3)
    await give(shop)

    async def prune(older_than: timedelta, limit: int = 100) -> int:
        async with shop() as tx:
            return await tx.feed.prune(older_than=older_than, limit=limit)

    assert await prune(timedelta(hours=1)) == 0
    # As if the positions had been given a while ago.
    assert await prune(timedelta(seconds=-5), limit=2) == 2
    assert await bounds(shop) == FeedBounds(Position(3), Position(3))
    assert [item.position for item in await read(shop)] == [3]
    assert await prune(timedelta(seconds=-5)) == 1
    assert await bounds(shop) == FeedBounds(Position(4), Position(3))
    await add(shop, cancelled(1, 2))
    await give(shop)
    assert [item.position for item in await read(shop)] == [4]
    async with shop.reading() as tx:
        assert len(await tx.events.of_orders([OrderId(UUID(int=number)) for number in (1, 2, 3)])) == 4


async def test_readers_miss_nothing_while_writers_commit_and_relays_take_turns(shop: UnitOfWork) -> None:
    """Each reader goes on after the last position that it has read, as it will with real clients."""
    done = asyncio.Event()
    async with asyncio.timeout(120):
        relays = [asyncio.create_task(take_turns(shop, name, done)) for name in ("relay 1", "relay 2")]
        *_, one, other = await asyncio.gather(
            *(write(shop, first) for first in (1, 11, 21)), follow(shop, 36), follow(shop, 36)
        )
        done.set()
        await asyncio.gather(*relays)

    assert one == other == await read(shop)
    assert [item.position for item in one] == list(range(1, 37))
    assert len(set(ids(one))) == 36
    for number in (1, 14, 24):
        assert [item.event.sequence for item in one if item.event.order_id.int == number] == [1, 2, 3]


async def write(shop: UnitOfWork, first: int) -> None:
    for number in range(first, first + 4):
        await patiently(partial(add_orders, shop, number))
        for sequence in (2, 3):
            await patiently(partial(add, shop, cancelled(number, sequence)))


async def patiently(act: Callable[[], Awaitable[object]]) -> None:
    while True:
        with suppress(NotDone):
            await act()
            return


async def take_turns(shop: UnitOfWork, name: str, done: asyncio.Event) -> None:
    while not done.is_set():
        with suppress(NotDone):
            await give(shop, by=name, limit=5)
            async with shop() as tx:
                await tx.feed.release(by=name)
        await asyncio.sleep(0)


async def follow(shop: UnitOfWork, count: int) -> list[FeedItem]:
    seen: list[FeedItem] = []
    while len(seen) < count:
        seen += await read(shop, after=seen[-1].position if seen else 0, limit=7)
        await asyncio.sleep(0)
    return seen


async def test_when_an_event_got_its_position_is_told_as_long_as_the_feed_has_it(shop: UnitOfWork) -> None:
    first = OrderId(UUID(int=1))

    async def given_at() -> Mapping[int, datetime]:
        async with shop.reading() as tx:
            return await tx.feed.given_at(first)

    await add_orders(shop, 1, 2)
    assert await given_at() == {}
    await give(shop)
    await add(shop, cancelled(1, 2))
    before = await given_at()
    assert before.keys() == {1}
    await give(shop)
    after = await given_at()
    assert after.keys() == {1, 2}
    assert after[1] == before[1] <= after[2]
    async with shop() as tx:
        await tx.feed.prune(older_than=timedelta(seconds=-5), limit=2)
    assert (await given_at()).keys() == {2}
