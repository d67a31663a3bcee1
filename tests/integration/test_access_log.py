"""The access log: one line for each response, which no client can forge."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from quart import Quart

from entrypoints.http.server.access_log import CannotLog, open_access_log
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from tests.http.browser import app_over
from tests.sockets import GET_LIVE, GET_ORDER, POST, Site, running
from tests.unit.shop import Shop


@pytest.fixture
def app() -> Quart:
    return app_over(Shop().use_cases, request_timeout=3600)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log" / "access.log"


@asynccontextmanager
async def logged(
    app: Quart, file: Path, form: str, *, concurrency: ConcurrencyLimit | None = None
) -> AsyncIterator[Site]:
    with open_access_log(str(file), form) as log:
        async with running(app, access_log=log, concurrency=concurrency) as site:
            yield site


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def put_a_file_in_place_of(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("")


async def ask(site: Site, *requests: bytes) -> list[int]:
    async with site.connection() as connection:
        statuses = []
        for request in requests:
            await connection.send(request)
            statuses.append((await connection.answer()).status)
        return statuses


async def test_each_response_is_a_line_with_what_it_was(app: Quart, file: Path) -> None:
    async with logged(app, file, "json") as site:
        request = GET_ORDER.replace(b"\r\n\r\n", b"\r\nRequest-Id: abc\r\n\r\n")
        statuses = await ask(
            site, GET_LIVE, request, b"GET /products?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\r\n\r\n"
        )
    lines = [json.loads(line) for line in read(file).splitlines()]
    assert [line["status"] for line in lines] == statuses == [200, 404, 200, 400]
    assert [line["path"] for line in lines] == ["/health/live", lines[1]["path"], "/products", "-"]
    assert lines[1]["request_id"] == "abc"
    assert all(line["client"] == "127.0.0.1" and line["seconds"] >= 0 for line in lines)
    assert all(line["length"] > 0 for line in lines[:3])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("common", r'127\.0\.0\.1 - - \[.{26}\] "GET /health/live HTTP/1\.1" 422 \d+'),
        (
            "combined",
            (
                r'127\.0\.0\.1 - - \[.{26}\] "GET /health/live HTTP/1\.1" 422 \d+'
                r' "https://shop\.example/console/orders" "me\\x22 \\x5C \\xC3\\xA9"'
            ),
        ),
        ("%(m)s %(U)s %(q)s 100%% %(T)s", r"GET /health/live a=1 100% 0"),
    ],
)
async def test_the_format_decides_what_is_told_and_nothing_ends_it_early(
    app: Quart, file: Path, form: str, expected: str
) -> None:
    async with logged(app, file, form) as site:
        agent = b'User-Agent: me" \\ \xc3\xa9\r\nReferer: https://shop.example/console/orders?q=ines%40example.org\r\n'
        await ask(site, b"GET /health/live?a=1 HTTP/1.1\r\nHost: shop\r\n" + agent + b"\r\n")
    assert re.fullmatch(expected + "\n", read(file)), read(file)


async def test_the_address_of_a_client_is_what_a_trusted_proxy_says(app: Quart, file: Path) -> None:
    request = GET_LIVE.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.7, 203.0.113.9\r\n\r\n")
    for proxies in ([], [ip_network("127.0.0.0/8")]):
        with open_access_log(str(file), "%(h)s", proxies) as log:
            async with running(app, access_log=log) as site:
                await ask(site, request)
    assert read(file).split() == ["127.0.0.1", "203.0.113.9"]


async def test_requests_that_are_shed_or_too_slow_are_told_as_well(app: Quart, file: Path) -> None:
    """Under overload the log must not say that there was none."""
    async with logged(app, file, "json", concurrency=ConcurrencyLimit(presumed=0, least=0)) as site:
        get = GET_LIVE.replace(b"/health/live", b"/products?x=%22")
        statuses = await ask(site, get, POST + b"Content-Length: 2\r\nConnection: keep-alive, x\r\n\r\n{}")
    lines = [json.loads(line) for line in read(file).splitlines()]
    assert statuses == [503, 503]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/products", 503),
        ("POST", "/orders", 503),
    ]


async def test_a_log_that_was_moved_away_is_begun_anew(app: Quart, file: Path) -> None:
    async with logged(app, file, "%(U)s") as site:
        await ask(site, GET_LIVE)
        await _until(lambda: read(file) == "/health/live\n")
        os.rename(file, file.with_suffix(".1"))  # noqa: PTH104 - in a test's own folder
        await ask(site, GET_ORDER)
    assert read(file.with_suffix(".1")) == "/health/live\n"
    assert read(file).startswith("/orders/")


async def test_a_log_that_can_not_be_written_refuses_nobody(app: Quart, file: Path) -> None:
    async with logged(app, file, "%(U)s") as site:
        put_a_file_in_place_of(file.parent)
        assert await ask(site, GET_LIVE, GET_LIVE) == [200, 200]


def test_a_log_that_can_not_be_begun_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotLog, match="HOLDFAST_ACCESS_LOG_FILE"), open_access_log(f"{tmp_path}/file/x", "common"):
        pass
    with open_access_log("", "common") as log:
        assert log is None


async def test_several_processes_write_whole_lines_to_one_file(tmp_path: Path) -> None:
    file = str(tmp_path / "log")
    with open_access_log(file, "%(U)s") as one, open_access_log(file, "%(U)s") as another:
        assert one is not None
        assert another is not None
        for log, letter in [(one, "a"), (another, "b")] * 50:
            log._lines.append(letter * 1000 + "\n")  # noqa: SLF001 - as `add` does
            log.write()
    assert sorted(read(Path(file)).split()) == ["a" * 1000] * 50 + ["b" * 1000] * 50


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the log is written by a timer
            await asyncio.sleep(0.01)
