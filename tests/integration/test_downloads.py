"""Exports over bare sockets: what a client sees of a download that ends well, and of one that does not."""

import logging
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random

import pytest
from attrs import evolve

from application.access.principal import SYSTEM
from application.exports.request import ExportRequest
from application.ports.files import LONGEST_PART
from domain.ids import JobId
from tests.http.browser import app_over
from tests.http.test_jobs import work
from tests.sockets import Site, running
from tests.unit.shop import Shop


@pytest.fixture
async def shop() -> Shop:
    return Shop()


@pytest.fixture
async def site(shop: Shop) -> AsyncIterator[Site]:
    async with running(app_over(shop.use_cases)) as site:
        yield site


async def an_export(shop: Shop, *, size: int | None = None) -> tuple[JobId, bytes]:
    """Return an export and its content, of which the last bytes are gone if its size is another."""
    job = await shop.use_cases.start_export(SYSTEM, ExportRequest(what="orders", format="csv"))
    await work(shop)
    [(key, kept)] = shop.store.files.items()
    content = Random(1).randbytes(3 * LONGEST_PART + 1)
    shop.store.files[key] = evolve(kept, file=evolve(kept.file, size=size or len(content)), content=content)
    return job.id, content


async def fetch(site: Site, method: str, job_id: JobId, *headers: str) -> tuple[dict[str, str], bytes]:
    """Return the headers and all that comes until the connection is closed."""
    lines = [f"{method} /exports/{job_id} HTTP/1.1", "Host: shop", "Connection: close", *headers]
    async with site.connection() as connection:
        await connection.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin1")
        found = dict(line.lower().partition(": ")[::2] for line in head.split("\r\n"))
        content = b""
        try:
            while part := await connection.reader.read(2**16):
                content += part
        except ConnectionError:
            # What is broken off may be reset.
            return found, content
    return found, content


async def test_a_download_can_be_put_together_from_parts(shop: Shop, site: Site) -> None:
    job_id, content = await an_export(shop)
    assert (await fetch(site, "GET", job_id))[1] == content
    found = b""
    for start, end in pairwise([0, 1, LONGEST_PART, LONGEST_PART + 7, len(content)]):
        headers, part = await fetch(site, "GET", job_id, f"Range: bytes={start}-{end - 1}")
        assert headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"
        found += part
    assert found == content


async def test_the_head_of_a_download_tells_its_size(shop: Shop, site: Site) -> None:
    job_id, content = await an_export(shop)
    headers, body = await fetch(site, "HEAD", job_id, "Range: bytes=1-2")
    assert (headers["content-length"], body) == (str(len(content)), b"")
    assert "content-range" not in headers


async def test_a_download_that_can_not_be_finished_is_broken_off(
    shop: Shop, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Fewer bytes than the header says are no whole file to any client."""
    job_id, content = await an_export(shop, size=4 * LONGEST_PART)
    with caplog.at_level(logging.WARNING):
        headers, found = await fetch(site, "GET", job_id)
    assert int(headers["content-length"]) == 4 * LONGEST_PART
    assert content.startswith(found)
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]
