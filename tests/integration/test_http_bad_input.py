"""Requests that only a raw socket can send: invalid HTTP, unfinished requests, and requests during a stop."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
import uvloop
from attrs import evolve, field, frozen
from quart import Quart

from application.access.principal import Principal
from domain.ids import OrderId
from domain.orders.order import Order
from entrypoints.http.server.listening import AddressInUse
from entrypoints.http.server.server import serve
from tests.http.browser import app_over
from tests.sockets import GET_LIVE, GET_ORDER, ORDER, POST, Site, a_post, running
from tests.unit.shop import Shop

T = TypeVar("T")


@frozen
class SlowOrder:
    """A use case that answers when the test lets it."""

    asked: asyncio.Event = field(factory=asyncio.Event)
    may_answer: asyncio.Event = field(factory=asyncio.Event)
    given_up: asyncio.Event = field(factory=asyncio.Event)
    orders: list[Order] = field(factory=list)

    async def __call__(self, _by: Principal, _: OrderId) -> Order:
        self.asked.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return self.orders[0]


@pytest.fixture
async def shop() -> Shop:
    return Shop()


@pytest.fixture
async def slow(shop: Shop) -> SlowOrder:
    return SlowOrder(orders=[await shop.order((await shop.sells(), 1))])


@pytest.fixture
def app(shop: Shop, slow: SlowOrder) -> Quart:
    return app_over(evolve(shop.use_cases, get_order=slow), request_timeout=3600)


@pytest.fixture
async def site(app: Quart) -> AsyncIterator[Site]:
    async with running(app) as site:
        yield site


async def test_an_answer_has_a_date_and_does_not_name_the_server(site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(GET_LIVE)
        answer = await connection.answer()
        await connection.send(a_post(ORDER))
        placed = await connection.answer()
    assert (answer.status, answer.body, placed.status) == (200, {"status": "ok"}, 201)
    assert "date" in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "content",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\nHost: shop\n\n",
        b"GET /\xff HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /orders?\xff HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET / /orders HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : shop\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: sh\x00op\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop\r\n Folded: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: shop\r\nHost: other\r\n\r\n",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 2x\r\n\r\n{}",
        POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
        POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_ends_the_connection(site: Site, content: bytes) -> None:
    answer = await site.ask(content)
    assert (answer.status, answer.code) == (400, "bad_protocol")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "content",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop\r\nCookie: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop\r\n" + b"X-Header: value\r\n" * 4000 + b"\r\n",
        b"GET /" + b"a" * 400_000,
        b"GET / HTTP/1.1\r\nHost: shop\r\nCookie: " + b"a" * 1_000_000,
    ],
    ids=["long URL", "long header", "many headers", "endless URL", "endless header"],
)
async def test_a_head_that_is_too_large_is_refused(site: Site, content: bytes) -> None:
    answer = await site.ask(content)
    assert (answer.status, answer.code) == (431, "head_too_large")


@pytest.mark.parametrize(
    "host",
    [b"", b"[", b"[::1", b"shop:port", b"a" * 3000, b"\xff\xfe", b"shop/orders", b"\xc3\xa9.example", b"..", b"%00"],
)
async def test_no_name_of_a_host_breaks_the_service(site: Site, host: bytes) -> None:
    async with site.connection() as connection:
        await connection.send(b"GET /health/live HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        answer = await connection.answer()
    assert answer.status in {200, 400, 404}


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"//",
        b"//%80",
        b"//[",
        b"/%",
        b"/%zz",
        b"/%00",
        b"/;?#",
        b"http://shop/orders/1",
        b"http://shop",
        b"/orders?%ff",
    ],
)
async def test_no_address_whatever_breaks_the_service(site: Site, target: bytes) -> None:
    async with site.connection() as connection:
        await connection.send(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: shop\r\n\r\n" + GET_LIVE)
        async with asyncio.timeout(60):
            head = await connection.reader.readuntil(b"\r\n\r\n")
    assert head.split()[1] in {b"200", b"204", b"400", b"404"}


async def test_chunks_that_do_not_end_are_not_waited_for(app: Quart) -> None:
    app.config["BODY_TIMEOUT"] = 0.1
    async with running(app) as site:
        answer = await site.ask(POST + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"use\r\n')
    assert (answer.status, answer.code) == (408, "request_timeout")


@pytest.mark.parametrize("content", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: shop\r\nCookie:"])
async def test_a_head_that_does_not_come_is_not_waited_for(app: Quart, content: bytes) -> None:
    async with running(app, receive_timeout=0.1) as site:
        answer = await site.ask(content)
    assert (answer.status, answer.code) == (408, "request_timeout")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: shop\r\nRequest-Id: tuesday\r\nCookie", "request_timeout"),
        (POST + b"request-id: tuesday\r\nContent-Length: 9\r\n\r\n{", "request_timeout"),
        (POST + b"Request-Id: tuesday\r\nTransfer-Encoding: gzip\r\n\r\n{}", "bad_protocol"),
        (b"GET /health/live HTTP/1.1\r\nRequest-Id: tuesday\r\n\r\n", "bad_protocol"),
    ],
)
async def test_a_request_that_reaches_no_handler_is_named_if_it_said_its_id(
    app: Quart, content: bytes, code: str
) -> None:
    async with running(app, receive_timeout=0.1) as site:
        answer = await site.ask(content)
    assert (answer.code, answer.headers["request-id"]) == (code, "tuesday")


async def test_a_body_over_the_limit_is_refused_and_the_client_sees_it(site: Site) -> None:
    chunks = b"".join(b"8000\r\n" + b" " * 0x8000 + b"\r\n" for _ in range(64))
    async with site.connection() as connection:
        for content in (
            a_post(ORDER.ljust(2_000_000)),
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        ):
            await connection.send(content)
            answer = await connection.answer()
            assert (answer.status, answer.code) == (413, "body_too_large")
        await connection.send(a_post(ORDER))
        assert (await connection.answer()).status == 201


async def test_a_body_without_any_end_is_cut_off(site: Site) -> None:
    async with asyncio.timeout(60), site.connection() as connection:
        await connection.send(POST + b"Content-Length: 1000000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            await asyncio.gather(*(connection.send(b" " * 1_000_000) for _ in range(100)))


async def test_requests_sent_at_once_are_answered_in_their_order(site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(a_post(ORDER) + GET_LIVE + a_post(b"{}"))
        assert [(await connection.answer()).status for _ in range(3)] == [201, 200, 422]


async def test_noise_behind_a_request_does_not_cost_its_answer(site: Site, slow: SlowOrder) -> None:
    async with site.connection() as connection:
        await connection.send(GET_ORDER + b"\x00\x01 noise\r\n\r\n")
        await slow.asked.wait()
        slow.may_answer.set()
        assert (await connection.answer()).status == 200
        assert await connection.is_closed()


async def test_no_bytes_whatever_break_the_service(site: Site) -> None:
    chance = random.Random(20261103)
    pieces = [
        GET_LIVE,
        a_post(ORDER),
        POST,
        b"\r\n",
        b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        ORDER,
        b"\x00\xff",
    ]
    for _ in range(100):
        content = bytearray(b"".join(chance.choices(pieces, k=4)))
        for _ in range(chance.randrange(4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        async with site.connection() as connection:
            await connection.send(bytes(content))
            connection.writer.write_eof()
            async with asyncio.timeout(60):
                received = await connection.reader.read()
        assert b"HTTP/1.1 5" not in received
    async with site.connection() as connection:
        await connection.send(GET_LIVE)
        assert (await connection.answer()).status == 200


async def test_a_client_that_hangs_up_is_not_worked_for(site: Site, slow: SlowOrder) -> None:
    async with asyncio.timeout(60):
        async with site.connection() as connection:
            await connection.send(GET_ORDER)
            await slow.asked.wait()
        await slow.given_up.wait()


async def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_trouble(
    app: Quart, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(app) as site, site.connection() as connection:
        await connection.send(POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n" + ORDER)
        # Now it is being read.
        await connection.reader.readuntil(b"\r\n\r\n")
    assert caplog.records == []


async def test_a_response_that_the_client_does_not_read_is_dropped(shop: Shop, app: Quart) -> None:
    pen = await shop.sells()
    for _ in range(200):
        await shop.order((pen, 1))
    ask = b"GET /orders?limit=200 HTTP/1.1\r\nHost: shop\r\n\r\n"
    async with running(app, receive_timeout=0.2) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.setblocking(False)  # noqa: FBT003 - Python's name for it
            # It asks and asks, and never reads.
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask_for_ever(client, ask), 60)


async def ask_for_ever(client: socket.socket, ask: bytes) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(client, ask * 20)
        await asyncio.sleep(0.01)


async def test_stopping_answers_what_is_under_way(app: Quart, slow: SlowOrder) -> None:
    async with running(app) as site, site.connection() as connection, site.connection() as idle:
        await idle.send(GET_LIVE)
        await idle.answer()
        await connection.send(GET_ORDER)
        await slow.asked.wait()
        site.stop.set()
        assert await idle.is_closed()
        assert not site.stopped.done()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", site.port)
        slow.may_answer.set()
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await site.stopped


async def test_stopping_answers_a_request_that_is_on_its_way(app: Quart) -> None:
    async with running(app) as site, site.connection() as used, site.connection() as half:
        await used.send(GET_LIVE)
        await used.answer()
        await half.send(GET_LIVE[:20])
        # A round trip on another connection shows that the half of a request has been read.
        await used.send(GET_LIVE)
        await used.answer()
        site.stop.set()
        await asyncio.sleep(0)
        await used.send(GET_LIVE)
        await half.send(GET_LIVE[20:])
        for connection in (used, half):
            answer = await connection.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_stopping_answers_those_who_had_connected_by_then() -> None:
    # On uvloop, as the service runs: the event loop of Python 3.11 itself drops who is accepted while it closes.
    answers = await on_uvloop(stopped_while_they_connect)
    assert len(answers) > 10
    assert set(answers) == {b"HTTP/1.1 200 OK"}


async def stopped_while_they_connect() -> list[bytes]:
    loop = asyncio.get_running_loop()
    with ExitStack() as clients:
        answers: list[asyncio.Future[bytes]] = []
        several = asyncio.Event()

        async def until_refused(port: int) -> None:
            # One in each turn of the loop, so that one comes in the very turn in which the server stops to listen.
            while True:
                try:
                    client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                except ConnectionRefusedError:
                    return
                client.sendall(GET_LIVE)
                client.setblocking(False)  # noqa: FBT003 - Python's name for it
                answers.append(asyncio.ensure_future(loop.sock_recv(client, 15)))
                if len(answers) > 10:
                    several.set()
                await asyncio.sleep(0)

        async with asyncio.timeout(60), running(app_over(Shop().use_cases)) as site:
            connecting = asyncio.create_task(until_refused(site.port))
            await several.wait()
            site.stop.set()
            await connecting
            return await asyncio.gather(*answers)


async def test_stopping_gives_up_what_takes_too_long(app: Quart, slow: SlowOrder) -> None:
    async with running(app, shutdown_timeout=0.1) as site, site.connection() as connection:
        await connection.send(GET_ORDER.replace(b"\r\n\r\n", b"\r\nRequest-Id: tuesday\r\n\r\n"))
        await slow.asked.wait()
        site.stop.set()
        answer = await connection.answer()
        assert (answer.status, answer.code, answer.headers["request-id"]) == (503, "stopping", "tuesday")
        await slow.given_up.wait()


async def test_a_server_that_is_cancelled_lets_go_of_its_port(app: Quart, slow: SlowOrder) -> None:
    async with running(app) as site, site.connection() as connection:
        await connection.send(GET_ORDER)
        await slow.asked.wait()
        site.stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await site.stopped
        await slow.given_up.wait()
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", site.port):
            site.stop.set()


async def test_a_port_in_use_is_named(app: Quart, site: Site) -> None:
    with pytest.raises(AddressInUse, match=f"127.0.0.1:{site.port} is in use"):
        await serve(app, host="127.0.0.1", port=site.port, shutdown_timeout=1, stop=asyncio.Event())


async def test_it_serves_on_uvloop() -> None:
    assert await on_uvloop(served_and_stopped) == (201, 400)


async def served_and_stopped() -> tuple[int, int]:
    shop = Shop()
    await shop.sells()
    async with running(app_over(shop.use_cases)) as site, site.connection() as connection:
        await connection.send(a_post(ORDER))
        placed = await connection.answer()
        broken = await site.ask(b"hello\r\n\r\n")
        site.stop.set()
        assert await connection.is_closed()
        return placed.status, broken.status


async def on_uvloop(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    def run() -> T:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scenario())

    return await asyncio.to_thread(run)
