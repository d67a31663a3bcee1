"""Reading and following the feed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from datetime import timedelta

import pytest
from attrs import field, frozen

from adapters.memory.signal import MemoryOutboxSignal
from application.access.principal import SYSTEM, Forbidden, Principal
from application.access.scopes import CUSTOMER_SCOPES, Scope
from application.errors import Overloaded, Unavailable
from application.feed.give_positions import PruneFeed
from application.feed.read_feed import FeedPage, PositionNotKept, ReadFeed
from application.feed.tail import MOST_OF_A_CUSTOMER, MOST_WAITING, FeedTail, FellBehind, Follower
from application.ports.feed import EVERYTHING, FeedBounds, FeedFilter, FeedItem, Position, types_among
from domain.ids import UserId
from tests.unit.shop import Shop

PATIENCE = 30.0


def named(items: Sequence[FeedItem]) -> list[str]:
    return [item.event.type.removeprefix("order.") for item in items]


async def read(shop: Shop, after: int | None = None, only: FeedFilter = EVERYTHING, limit: int = 100) -> list[FeedItem]:
    position = None if after is None else Position(after)
    return list((await shop.use_cases.read_feed(SYSTEM, after=position, only=only, limit=limit)).items)


async def test_pages_go_on_where_the_one_before_ended(shop: Shop) -> None:
    await shop.paid((await shop.sells(), 1))
    assert await shop.use_cases.give_positions() == 4

    page = await shop.use_cases.read_feed(SYSTEM, after=None, only=EVERYTHING, limit=3)
    assert named(page.items) == ["placed", "payment_requested", "stock_reserved"]
    assert (page.next, page.newest) == (3, 4)
    page = await shop.use_cases.read_feed(SYSTEM, after=page.next, only=EVERYTHING, limit=3)
    assert (named(page.items), page.next) == (["paid"], 4)
    page = await shop.use_cases.read_feed(SYSTEM, after=page.next, only=EVERYTHING, limit=3)
    assert (page.items, page.next) == ([], 4)


async def test_a_page_with_a_filter_may_be_empty_and_goes_on(shop: Shop) -> None:
    await shop.paid((await shop.sells(), 1))
    await shop.use_cases.give_positions()
    reading = ReadFeed(shop.unit_of_work, looked_through=2)
    only = FeedFilter(types=frozenset({"order.paid"}))
    page = await reading(SYSTEM, after=None, only=only, limit=9)
    assert (page.items, page.next) == ([], 2)
    page = await reading(SYSTEM, after=page.next, only=only, limit=9)
    assert (named(page.items), page.next) == (["paid"], 4)


async def test_a_customer_reads_the_events_of_its_own_orders(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.order((pen, 1), user_id=1)
    await shop.order((pen, 1), user_id=2)
    await shop.use_cases.give_positions()
    customer = Principal("key", user_id=UserId(2), scopes=CUSTOMER_SCOPES)
    only = FeedFilter(user_id=UserId(1))
    for wanted in (EVERYTHING, only):
        page = await shop.use_cases.read_feed(customer, after=None, only=wanted, limit=9)
        assert [item.user_id for item in page.items] == [2]
    follower = await shop.use_cases.follow_feed(customer, after=Position(0), only=EVERYTHING)
    assert [item.user_id for item in await follower.next(PATIENCE)] == [2]
    follower.close()
    with pytest.raises(Forbidden):
        await shop.use_cases.read_feed(
            Principal("key", scopes=frozenset({Scope.ORDERS_READ})), after=None, only=EVERYTHING, limit=9
        )


async def test_a_position_that_is_not_kept_is_refused_with_the_bounds(shop: Shop) -> None:
    await shop.paid((await shop.sells(), 1))
    await shop.use_cases.give_positions()
    shop.clock.forward(timedelta(days=2))
    prune = PruneFeed(shop.unit_of_work, timedelta(days=1), limit=3)
    assert await prune()
    assert not await prune()
    assert not await PruneFeed(shop.unit_of_work, None)()

    with pytest.raises(PositionNotKept, match="the oldest position is 5") as refused:
        await read(shop, after=1)
    assert (refused.value.bounds.oldest, refused.value.bounds.newest) == (5, 4)
    with pytest.raises(PositionNotKept, match="never given"):
        await read(shop, after=5)
    assert await read(shop, after=4) == await read(shop) == []


async def test_a_follower_gets_what_was_and_what_comes(shop: Shop) -> None:
    pen = await shop.sells()
    order, request = await shop.payment_requested((pen, 1))
    await shop.use_cases.give_positions()
    follower = await shop.use_cases.follow_feed(SYSTEM, after=Position(1), only=EVERYTHING)

    assert named(await follower.next(PATIENCE)) == ["payment_requested"]
    assert await follower.next(0.01) == []
    waits = asyncio.create_task(follower.next(PATIENCE))
    await asyncio.sleep(0)
    await shop.process_payment([request])
    await shop.use_cases.give_positions()
    assert named(await waits) == ["stock_reserved", "paid"]
    assert follower.position == 4
    follower.close()
    assert shop.use_cases.feed_tail.count == 0
    assert order.id


async def test_a_follower_without_a_position_begins_with_what_is_new(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.order((pen, 1))
    await shop.use_cases.give_positions()
    follower = await shop.use_cases.follow_feed(SYSTEM, after=None, only=FeedFilter(types=frozenset({"order.placed"})))
    assert follower.position == 1
    await shop.payment_requested((pen, 1))
    await shop.use_cases.give_positions()
    assert [item.position for item in await follower.next(PATIENCE)] == [2]
    follower.close()


async def test_a_follower_that_takes_nothing_is_cut_off_and_others_go_on(shop: Shop) -> None:
    pen = await shop.sells(stock=1000)
    slow = await shop.use_cases.follow_feed(SYSTEM, after=None, only=EVERYTHING)
    quick = await shop.use_cases.follow_feed(SYSTEM, after=None, only=EVERYTHING)
    assert await slow.next(0.01) == await quick.next(0.01) == []
    taken: list[int] = []
    for _ in range(MOST_WAITING + 1):
        await shop.order((pen, 1))
        if len(taken) == MOST_WAITING:
            break
        await shop.use_cases.give_positions()
        taken += [item.position for item in await quick.next(PATIENCE)]
    await shop.use_cases.give_positions()
    taken += [item.position for item in await quick.next(PATIENCE)]

    assert taken == list(range(1, MOST_WAITING + 2))
    with pytest.raises(FellBehind):
        await slow.next(PATIENCE)
    again = await shop.use_cases.follow_feed(SYSTEM, after=slow.position, only=EVERYTHING)
    assert [item.position for item in await again.next(PATIENCE)] == list(range(1, 101))
    for follower in (slow, quick, again):
        follower.close()


async def test_followers_are_bounded_in_number_and_end_with_the_process(shop: Shop) -> None:
    tail = FeedTail(ReadFeed(shop.unit_of_work), shop.ports.feed_signal, most=1)
    follower = await tail.follow(SYSTEM, after=None, only=EVERYTHING)
    with pytest.raises(Overloaded):
        await tail.follow(SYSTEM, after=None, only=EVERYTHING)
    waits = asyncio.create_task(follower.next(PATIENCE))
    await asyncio.sleep(0)
    tail.close()
    async with asyncio.timeout(PATIENCE / 2):
        assert await waits == []
        assert await follower.next(PATIENCE) == []


async def test_one_customer_does_not_take_the_places_of_all(shop: Shop) -> None:
    def follow(user_id: int | None) -> Awaitable[Follower]:
        scopes = frozenset({Scope.EVENTS_READ})
        by = Principal("reader", user_id=None if user_id is None else UserId(user_id), scopes=scopes)
        return shop.use_cases.follow_feed(by, after=None, only=EVERYTHING)

    # All at once, as a client would that means to.
    asked = await asyncio.gather(*(follow(7) for _ in range(2 * MOST_OF_A_CUSTOMER)), return_exceptions=True)
    own = [each for each in asked if isinstance(each, Follower)]
    assert len(own) == MOST_OF_A_CUSTOMER
    assert all(isinstance(each, Overloaded) for each in asked if each not in own)
    others = [await follow(user_id) for user_id in (8, None)]
    own[0].close()
    others.append(await follow(7))
    for follower in (*own, *others):
        follower.close()


async def test_a_follower_goes_on_when_the_database_is_back(shop: Shop) -> None:
    await shop.order((await shop.sells(), 1))
    await shop.use_cases.give_positions()
    follower = await shop.use_cases.follow_feed(SYSTEM, after=Position(0), only=EVERYTHING)
    shop.unsteady.gone = True
    with pytest.raises(Unavailable):
        await follower.next(PATIENCE)
    shop.unsteady.gone = False
    assert named(await follower.next(PATIENCE)) == ["placed"]
    follower.close()


@frozen
class _Reads(ReadFeed):
    """One look for the end of the feed waits, one page breaks, and one is awaited, each by its number."""

    held: int = field(default=0, kw_only=True)
    broken: int = field(default=0, kw_only=True)
    awaited: int = field(default=0, kw_only=True)
    release: asyncio.Event = field(factory=asyncio.Event, init=False)
    read: asyncio.Event = field(factory=asyncio.Event, init=False)
    done: Counter[str] = field(factory=Counter, init=False)

    async def bounds(self) -> FeedBounds:
        self.done["looks"] += 1
        held = self.done["looks"] == self.held
        # A database takes its time, so that others ask meanwhile.
        await asyncio.sleep(0)
        if held:
            await self.release.wait()
        return await super().bounds()

    async def page(self, *, after: Position | None, only: FeedFilter, limit: int) -> FeedPage:
        self.done["pages"] += 1
        if self.done["pages"] == self.broken:
            raise RuntimeError("nobody expected this")
        page = await super().page(after=after, only=only, limit=limit)
        if self.done["pages"] == self.awaited:
            self.read.set()
        return page


async def test_followers_that_begin_at_once_miss_nothing(shop: Shop) -> None:
    pen = await shop.sells()
    # The pages of both calls of `follow`, of the first follower, and of the tail for all.
    reading = _Reads(shop.unit_of_work, held=2, awaited=4)
    tail = FeedTail(reading, MemoryOutboxSignal(), most=9)
    followers = [await tail.follow(SYSTEM, after=Position(0), only=EVERYTHING) for _ in range(2)]
    waits = [asyncio.create_task(follower.next(PATIENCE)) for follower in followers]
    await reading.read.wait()
    assert tail.has(followers[0])
    assert not tail.has(followers[1])
    # The second one learns of this event when it asks where the feed ends, the first one has to be told.
    await shop.order((pen, 1))
    await shop.use_cases.give_positions()
    reading.release.set()
    async with asyncio.timeout(PATIENCE / 2):
        assert [named(items) for items in await asyncio.gather(*waits)] == [["placed"]] * 2
    for follower in followers:
        follower.close()


async def test_a_follower_goes_on_when_the_reading_for_all_has_broken(shop: Shop) -> None:
    pen = await shop.sells()
    # Page 1 is of `follow`, 2 of the follower itself, 3 of the tail.
    reading = _Reads(shop.unit_of_work, broken=3, awaited=2)
    tail = FeedTail(reading, MemoryOutboxSignal(), most=9)
    follower = await tail.follow(SYSTEM, after=Position(0), only=EVERYTHING)
    waits = asyncio.create_task(follower.next(PATIENCE))
    await reading.read.wait()
    await shop.order((pen, 1))
    await shop.use_cases.give_positions()
    async with asyncio.timeout(PATIENCE / 2):
        assert named(await waits) == ["placed"]
    follower.close()


def test_types_are_named_by_themselves_or_by_their_beginning() -> None:
    known = {"order.placed", "order.paid", "product.changed"}
    assert types_among(known, ["order.paid"]) == {"order.paid"}
    assert types_among(known, ["order.*", "nothing"]) == {"order.placed", "order.paid"}
    assert types_among(known, ["*"]) == known
