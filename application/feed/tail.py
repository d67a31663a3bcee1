import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from attrs import define, field

from application.access.principal import Principal
from application.errors import NotDone, Overloaded, Trouble
from application.feed.read_feed import FeedPage, PositionNotKept, ReadFeed, own
from application.ports.feed import EVERYTHING, FeedFilter, FeedItem, Position
from application.ports.messaging import OutboxSignal
from domain.ids import CustomerId

# Events that may wait for a follower. One that falls behind further is cut off, and goes on from the table.
MOST_WAITING: Final = 256
# Followers that one customer may have in this process: it must not take the places of all others.
MOST_OF_A_CUSTOMER: Final = 20
_PAGE: Final = 100
_LARGEST_PAGE: Final = 512
# Seconds between two looks for new positions. Where the relay is in this process, its signal comes first.
_LOOK_EVERY: Final = 0.1
_PAUSE: Final = 1.0


class FellBehind(NotDone):
    """A follower did not take its events in time. It can go on after the last one that it took."""


@define(eq=False)
class Follower:
    """Follows the feed from a position on, without gap: from the table until it is at its end, then with the tail."""

    _tail: "FeedTail"
    _only: FeedFilter
    # Up to here, every event was returned or is not wanted.
    position: Position
    _waiting: deque[FeedItem] = field(factory=deque, init=False)
    _woken: asyncio.Event = field(factory=asyncio.Event, init=False)
    _fell_behind: bool = field(default=False, init=False)

    @property
    def user_id(self) -> CustomerId | None:
        """The customer whose events alone it gets, if it is one."""
        return self._only.user_id

    async def next(self, timeout: float) -> Sequence[FeedItem]:  # noqa: ASYNC109 - the timeout is part of the interface
        """Return the next events, as soon as there are any.

        The list is empty after `timeout` seconds, or when the tail is closed. Raise `FellBehind`, `PositionNotKept`, or
        `Trouble` if the database is gone.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not (found := await self._catch_up()) and not self._tail.is_closed:
                    await self._woken.wait()
                    self._woken.clear()
                return found
        return []

    def offer(self, items: Sequence[FeedItem], until: Position) -> None:
        """Take what is wanted of the events up to `until`, the next ones after those that were offered before."""
        wanted = [item for item in items if item.position > self.position and self._only.wants(item)]
        if len(self._waiting) + len(wanted) > MOST_WAITING:
            self.cut_off()
            return
        self._waiting += wanted
        if not self._waiting:
            self.position = max(self.position, until)
        else:
            self._woken.set()

    def cut_off(self) -> None:
        self._tail.detach(self)
        self._waiting.clear()
        self._fell_behind = True
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._tail.leave(self)

    async def _catch_up(self) -> Sequence[FeedItem]:
        if self._fell_behind:
            raise FellBehind("the events were not taken in time")
        if self._tail.has(self):
            return self._taken()
        while True:
            page = await self._tail.read(self.position, self._only)
            self.position = page.next
            # Nothing may be awaited between this look and the attaching: the tail must not go on in between.
            if page.items or self._tail.attach(self):
                return page.items

    def _taken(self) -> Sequence[FeedItem]:
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _PAGE))]
        if taken:
            self.position = taken[-1].position
        return taken


@define(eq=False)
class FeedTail:
    """The end of the feed, read once for all followers of this process, while there are any."""

    _read: ReadFeed
    _signal: OutboxSignal
    _most: int = field(kw_only=True)
    is_closed: bool = field(default=False, init=False)
    # Where the tail is. None while nobody follows.
    _position: Position | None = field(default=None, init=False)
    # One that nobody closes, since its request ended before its stream began, ends with its last reference.
    _followers: WeakSet[Follower] = field(factory=WeakSet, init=False)
    # Those who are at the end of the feed, and are offered what is new, in the sequence in which they came.
    _attached: dict[Follower, None] = field(factory=dict, init=False)
    _looking: asyncio.Task[None] | None = field(default=None, init=False)

    @property
    def count(self) -> int:
        return len(self._followers)

    async def follow(self, by: Principal, *, after: Position | None, only: FeedFilter) -> Follower:
        """Follow the events after a position, by default those that are new. Close the follower in the end.

        Raise `Overloaded` if there are too many followers, and `PositionNotKept`.
        """
        only = own(by, only)
        if after is None:
            after = await self._newest()
        else:
            await self._read.page(after=after, only=only, limit=1)
        # Nothing may be awaited between this and the adding: many may ask at once.
        self._expect_room(only)
        follower = Follower(self, only, after)
        self._followers.add(follower)
        return follower

    def close(self) -> None:
        """End every wait for events, now and later."""
        self.is_closed = True
        for follower in tuple(self._followers):
            follower.wake()
        if self._looking is not None:
            self._looking.cancel()

    # What follows is for the followers.

    async def read(self, after: Position, only: FeedFilter) -> FeedPage:
        if self._position is None:
            newest = await self._newest()
            # Another follower may have begun meanwhile, from an older position, and must miss nothing after that.
            if self._position is None:
                self._position = newest
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return await self._read.page(after=after, only=only, limit=_PAGE)

    def has(self, follower: Follower) -> bool:
        return follower in self._attached

    def attach(self, follower: Follower) -> bool:
        """Offer this follower what is new from now on. Return False if it is not at the end of the feed yet."""
        if self._position is None or follower.position < self._position:
            return False
        self._attached[follower] = None
        return True

    def detach(self, follower: Follower) -> None:
        self._attached.pop(follower, None)

    def leave(self, follower: Follower) -> None:
        self._followers.discard(follower)
        self._attached.pop(follower, None)

    def _expect_room(self, only: FeedFilter) -> None:
        if self.count >= self._most:
            raise Overloaded(f"{self._most} readers follow the feed through this process already")
        if only.user_id is None:
            return
        if sum(follower.user_id == only.user_id for follower in self._followers) >= MOST_OF_A_CUSTOMER:
            raise Overloaded(f"this customer follows the feed {MOST_OF_A_CUSTOMER} times already: end one of them")

    async def _newest(self) -> Position:
        return (await self._read.bounds()).newest

    async def _look(self) -> None:
        try:
            while self._followers and self._position is not None and not self.is_closed:
                await self._go_on(self._position)
        except PositionNotKept:
            # The database was restored from a backup, or all was pruned.
            pass
        finally:
            # Whatever ended it: who follows reads from the table again, and finds what has become of its position.
            self._position = None
            for follower in tuple(self._attached):
                self._attached.pop(follower, None)
                follower.wake()

    async def _go_on(self, after: Position) -> None:
        try:
            page = await self._read.page(after=after, only=EVERYTHING, limit=_LARGEST_PAGE)
        except Trouble:
            await asyncio.sleep(_PAUSE)
            return
        self._position = page.next
        for follower in tuple(self._attached):
            follower.offer(page.items, page.next)
        if page.next == page.newest:
            await self._signal.wait(_LOOK_EVERY)
