"""Readers of the feed that go on through every fault, each from the position that it has kept."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, Final
from uuid import UUID

import aiohttp
from attrs import define, field

from tests.integration.faults.house import FeedReader, Shop

_PAUSE: Final = 0.2
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_read=20, connect=5)


@asynccontextmanager
async def following(house: Shop) -> AsyncIterator[None]:
    """Read beside the block, one page after the other and as streams that break and go on."""
    if not house.readers:
        house.readers += [FeedReader("pages"), FeedReader("stream"), FeedReader("short streams")]
    pages, stream, short = house.readers
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        tasks = [
            asyncio.create_task(_again_and_again(house, pages, _Pages(http))),
            asyncio.create_task(_again_and_again(house, stream, _Stream(http))),
            asyncio.create_task(_again_and_again(house, short, _Stream(http, most=20))),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(house: Shop, reader: FeedReader, read: Any) -> None:
    for turn in cycle(range(60)):
        # Another replica each time, if there are several.
        url = house.api_urls[turn % len(house.api_urls)]
        try:
            await read(url, reader)
        except (aiohttp.ClientError, OSError, TimeoutError):
            await asyncio.sleep(_PAUSE)


@define
class _Pages:
    _http: aiohttp.ClientSession

    async def __call__(self, url: str, reader: FeedReader) -> None:
        parameters = {"after": str(reader.position), "limit": "50", "wait": "1"}
        async with self._http.get(f"{url}/events", params=parameters) as response:
            page = await response.json()
            if response.status != 200:
                reader.refused[f"{response.status} {page.get('code')}"] += 1
                await asyncio.sleep(_PAUSE)
                return
            for event in page["items"]:
                reader.take(event)


@define
class _Stream:
    _http: aiohttp.ClientSession
    _most: int | None = field(default=None, kw_only=True)

    async def __call__(self, url: str, reader: FeedReader) -> None:
        headers, end = {"Last-Event-ID": str(reader.position)}, f"?max_events={self._most}" if self._most else ""
        async with self._http.get(f"{url}/events/stream{end}", headers=headers) as response:
            if response.status != 200:
                reader.refused[f"{response.status} on a stream"] += 1
                await asyncio.sleep(_PAUSE)
                return
            kind = ""
            async for line in response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "reset":
                    reader.refused["reset"] += 1
                elif name == "data":
                    reader.take(json.loads(value))


async def caught_up(house: Shop) -> bool:
    """Whether each event has a position, and each reader has read up to the newest one."""
    async with house.sql() as connection:
        waiting: int = await connection.fetchval("SELECT count(*) FROM feed_queue")
        newest: int = await connection.fetchval("SELECT given FROM feed_head")
    return not waiting and all(reader.position == newest for reader in house.readers)


def findings(readers: Sequence[FeedReader], histories: dict[UUID, list[str]]) -> list[str]:
    """What is wrong with what was read: gaps, duplicates, orders out of sequence, events that never happened."""
    found: list[str] = []
    number = sum(map(len, histories.values()))
    for reader in readers:
        positions = [event["position"] for event in reader.kept]
        if positions != list(range(1, number + 1)):
            times = Counter(positions)
            missing = [position for position in range(1, number + 1) if not times[position]][:5]
            doubled = [position for position, count in times.items() if count > 1][:5]
            found.append(
                f"{reader.name}: {len(positions)} positions read of {number} events; missing {missing}, twice {doubled}"
            )
        read: defaultdict[UUID, list[tuple[int, str]]] = defaultdict(list)
        for event in reader.kept:
            read[UUID(event["order_id"])].append((event["sequence"], event["type"]))
        found += [
            f"{reader.name}: the events of order {order_id} were read as {read[order_id]}"
            for order_id, history in histories.items()
            if read[order_id] != list(enumerate(history, 1))
        ]
        # A feed that began anew, or was said to be pruned.
        found += [
            f"{reader.name}: {what}, {times} times"
            for what, times in reader.refused.items()
            if what == "reset" or "position_not_kept" in what
        ]
    return found
