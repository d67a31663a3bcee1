"""Callers that ask for the same at once share one reading, and none gets what was read before it asked."""

import asyncio

import pytest
from attrs import define, field

from application.errors import Unavailable
from application.execution.shared_reads import SharedReads

BOUND = 60


@define
class Shelf:
    """Says what is on it at the time when it is looked at, and tells that a little later."""

    content: str = "old"
    looks: list[str] = field(factory=list)
    _looked: asyncio.Queue[str] = field(factory=asyncio.Queue)
    open: asyncio.Event = field(factory=asyncio.Event)
    error: Exception | None = None
    # Readings at once: now, and the most that there were.
    now: int = 0
    most: int = 0

    async def read(self, what: str) -> str:
        self.looks.append(what)
        self._looked.put_nowait(what)
        found, error = self.content, self.error
        self.now += 1
        self.most = max(self.most, self.now)
        await self.open.wait()
        self.now -= 1
        if error is not None:
            raise error
        return found

    async def until_looked_at(self, times: int) -> None:
        async with asyncio.timeout(BOUND):
            for _ in range(times):
                await self._looked.get()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_who_asks_during_a_reading_gets_what_is_there_by_then(shelf: Shelf) -> None:
    read = SharedReads(shelf.read)
    first = asyncio.ensure_future(read("page"))
    await shelf.until_looked_at(1)
    shelf.content = "new"
    later = [asyncio.ensure_future(read("page")) for _ in range(50)]
    # Three turns of the loop: they ask, and a reading that did not wait would have begun.
    for _ in range(3):
        await asyncio.sleep(0)
    shelf.open.set()
    async with asyncio.timeout(BOUND):
        assert await first == "old"
        assert set(await asyncio.gather(*later)) == {"new"}
    assert (shelf.looks, shelf.most) == (["page", "page"], 1)
    shelf.content = "newest"
    assert await read("page") == "newest"


async def test_different_calls_do_not_wait_for_each_other(shelf: Shelf) -> None:
    read = SharedReads(shelf.read)
    waiting = [asyncio.ensure_future(read(page)) for page in ("one", "two")]
    await shelf.until_looked_at(2)
    shelf.open.set()
    async with asyncio.timeout(BOUND):
        assert await asyncio.gather(*waiting) == ["old", "old"]


async def test_a_reading_that_fails_fails_for_those_who_share_it_alone(shelf: Shelf) -> None:
    read = SharedReads(shelf.read)
    shelf.error = Unavailable("the database is gone")
    failing = [asyncio.ensure_future(read("page")) for _ in range(3)]
    await shelf.until_looked_at(1)
    shelf.error = None
    later = asyncio.ensure_future(read("page"))
    shelf.open.set()
    async with asyncio.timeout(BOUND):
        outcomes = await asyncio.gather(*failing, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
        assert await later == "old"


async def test_a_caller_that_hangs_up_ends_its_own_wait(shelf: Shelf) -> None:
    read = SharedReads(shelf.read)
    gone, staying = asyncio.ensure_future(read("page")), asyncio.ensure_future(read("page"))
    await shelf.until_looked_at(1)
    gone.cancel()
    shelf.open.set()
    async with asyncio.timeout(BOUND):
        assert await staying == "old"
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await read("page") == "old"
