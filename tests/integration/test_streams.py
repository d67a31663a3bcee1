"""Streams of events on a real server: they last, take no room from requests, and end with the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from tests.http.browser import app_over
from tests.sockets import GET_LIVE, Connection, Site, running
from tests.unit.shop import Shop, a_request

LIMIT = 4
PATIENCE = 60.0
GET_STREAM = b"GET /events/stream?after=0 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
GET_PRODUCTS = b"GET /products HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def site(shop: Shop) -> AsyncIterator[Site]:
    async with running(
        app_over(shop.use_cases),
        concurrency=ConcurrencyLimit(presumed=0, least=LIMIT),
        long_lived=lambda: shop.use_cases.waiting,
    ) as site:
        yield site


async def opened(stack: AsyncExitStack, site: Site) -> Connection:
    connection = await stack.enter_async_context(site.connection())
    await connection.send(GET_STREAM)
    async with asyncio.timeout(PATIENCE):
        head = await connection.reader.readuntil(b"\r\n\r\n")
        await connection.reader.readuntil(b"retry: 2000\n\n")
    assert head.startswith(b"HTTP/1.1 200")
    return connection


async def happen(shop: Shop, count: int) -> None:
    pen = await shop.sells(stock=10_000)
    await shop.place_order([a_request((pen, 1))] * count)
    while await shop.use_cases.give_positions():
        pass


async def test_streams_take_no_room_from_requests_and_end_at_once_when_the_server_stops(shop: Shop, site: Site) -> None:
    async with AsyncExitStack() as stack:
        streams = [await opened(stack, site) for _ in range(3 * LIMIT)]
        assert shop.use_cases.feed_tail.count == 3 * LIMIT
        connection = await stack.enter_async_context(site.connection())
        await connection.send(GET_PRODUCTS)
        assert (await connection.answer()).status == 200

        await happen(shop, 1)
        async with asyncio.timeout(PATIENCE):
            for stream in streams:
                await stream.reader.readuntil(b"id: 1\nevent: order.placed\n")
        # As the program does.
        site.stop.set()
        shop.use_cases.stop_waiting()
        async with asyncio.timeout(PATIENCE):
            for stream in streams:
                assert b"retry: " in await stream.reader.read()
            await site.stopped


async def test_who_hangs_up_is_not_followed_by_anybody(shop: Shop, site: Site) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(LIMIT):
            await opened(stack, site)
    async with asyncio.timeout(PATIENCE):
        while shop.use_cases.feed_tail.count:  # noqa: ASYNC110 - the tasks of the server end by themselves
            await asyncio.sleep(0.01)
    assert (await site.ask(GET_LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).status == 200
