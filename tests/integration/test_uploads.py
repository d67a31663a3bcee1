"""Files that are sent over bare sockets: larger than any other request, broken off, and refused before their end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from entrypoints.http.server.protocol import MAX_REQUEST
from tests.http.browser import app_over
from tests.sockets import Site, running
from tests.unit.shop import Shop

ROW = b'{"sku": "PEN", "name": "Pen", "price": 1250, "currency": "EUR"}\n'
# A line without anything on it.
BLANK = b" " * 65_000 + b"\n"


@pytest.fixture
async def shop() -> Shop:
    return Shop()


@pytest.fixture
async def site(shop: Shop) -> AsyncIterator[Site]:
    async with running(app_over(shop.use_cases)) as site:
        yield site


def head(length: int) -> bytes:
    return (
        b"POST /imports?what=products HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-ndjson\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


async def test_a_file_may_be_larger_than_any_other_request(shop: Shop, site: Site) -> None:
    blanks = MAX_REQUEST // len(BLANK) + 10
    async with site.connection() as connection:
        await connection.send(head(len(ROW) + blanks * len(BLANK)) + ROW)
        for _ in range(blanks):
            await connection.send(BLANK)
        answer = await connection.answer()
        # The connection takes the next request.
        await connection.send(head(len(ROW)) + ROW)
        assert (answer.status, (await connection.answer()).status) == (202, 202)
    first, second = (job.arguments["size"] for job in shop.store.jobs.values())
    assert (first > MAX_REQUEST, second) == (True, len(ROW))


async def test_a_file_that_breaks_off_leaves_nothing(shop: Shop, site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(head(100 * len(BLANK)) + ROW)
        for _ in range(50):
            await connection.send(BLANK)
        async with asyncio.timeout(60):
            while not shop.store.files:  # noqa: ASYNC110 - what other tasks do to the store
                await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        while shop.store.files:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert shop.store.jobs == {}


async def test_who_sends_another_kind_of_file_need_not_send_all_of_it(shop: Shop, site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(head(10**9) + b"sku,name\n" + BLANK)
        answer = await connection.answer()
        assert (answer.status, answer.code) == (422, "unreadable_file")
    assert (shop.store.files, shop.store.jobs) == ({}, {})


async def test_a_file_whose_length_is_too_large_is_refused_before_it_comes(shop: Shop, site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(head(2**30 + 1))
        assert (await connection.answer()).code == "body_too_large"
    assert (shop.store.files, shop.store.jobs) == ({}, {})
