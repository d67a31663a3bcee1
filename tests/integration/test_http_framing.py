"""No byte of a body is ever run as a request (RFC 9112, section 11), and every response belongs to its request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from attrs import evolve, field, frozen
from quart import Quart

from application.access.principal import SYSTEM, Principal
from application.assembly.use_cases import UseCases
from domain.ids import OrderId, UserId
from domain.orders.order import Order
from tests.http.browser import app_over
from tests.sockets import GET_LIVE, GET_ORDER, ORDER, POST, Connection, Site, a_post, running
from tests.unit.shop import Shop

THIEF = UserId(666)
Framed = Callable[[bytes], tuple[bytes, bytes]]
Arriving = Callable[[bytes, bytes], list[bytes]]
# As a body, this is no JSON. As a request, it is an order.
SMUGGLED = a_post(ORDER.replace(b'"user_id":1', b'"user_id":666'))


@frozen
class SlowOrder:
    asked: asyncio.Event = field(factory=asyncio.Event)
    may_answer: asyncio.Event = field(factory=asyncio.Event)
    orders: list[Order] = field(factory=list)

    async def __call__(self, _by: Principal, _: OrderId) -> Order:
        self.asked.set()
        await self.may_answer.wait()
        return self.orders[0]


@pytest.fixture
async def slow() -> SlowOrder:
    return SlowOrder()


@pytest.fixture
async def use_cases(slow: SlowOrder) -> AsyncIterator[UseCases]:
    """A shop in which nothing of what a body says was done."""
    shop = Shop()
    slow.orders.append(await shop.order((await shop.sells(), 1)))
    yield evolve(shop.use_cases, get_order=slow)
    assert await shop.use_cases.list_orders(SYSTEM, user_id=THIEF, limit=1) == []


@pytest.fixture
def app(use_cases: UseCases) -> Quart:
    return app_over(use_cases, request_timeout=3600)


@pytest.fixture
async def site(app: Quart) -> AsyncIterator[Site]:
    async with running(app) as site:
        yield site


def with_length(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length: %d\r\n" % len(body), body


def in_chunks(body: bytes) -> tuple[bytes, bytes]:
    half = len(body) // 2
    chunks = (b'%x;name="value"\r\n%b\r\n' % (len(part), part) for part in (body[:half], body[half:]))
    return b"Transfer-Encoding: chunked\r\n", b"".join(chunks) + b"0\r\n\r\n"


def whole(head: bytes, body: bytes) -> list[bytes]:
    return [head + body]


def body_later(head: bytes, body: bytes) -> list[bytes]:
    return [head, body]


def in_pieces(head: bytes, body: bytes) -> list[bytes]:
    content = head + body
    return [content[start : start + 7] for start in range(0, len(content), 7)]


FRAMINGS = pytest.mark.parametrize("framed", [with_length, in_chunks])
ARRIVALS = pytest.mark.parametrize("arriving", [whole, body_later, in_pieces])


async def send_each(connection: Connection, parts: Sequence[bytes]) -> None:
    for part in parts:
        await connection.send(part)
        # The server reads one part before the next is sent.
        for _ in range(3):
            await asyncio.sleep(0)


async def next_is_answered(connection: Connection) -> None:
    await connection.send(GET_LIVE)
    assert (await connection.answer()).status == 200


@FRAMINGS
@ARRIVALS
@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
        b"Upgrade: TLS/1.0, h2c\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
        b"UPGRADE: anything\r\nCONNECTION: UPGRADE\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
    ],
)
async def test_an_upgrade_is_ignored_and_the_body_is_read(
    site: Site, upgrade: bytes, framed: Framed, arriving: Arriving
) -> None:
    async with site.connection() as connection:
        for body, expected in ((ORDER, 201), (SMUGGLED, 400)):
            field, content = framed(body)
            await send_each(connection, arriving(POST + upgrade + field + b"\r\n", content))
            assert (await connection.answer()).status == expected
        await next_is_answered(connection)


async def test_requests_behind_an_upgrade_are_answered_each_once(site: Site) -> None:
    upgrade = b"GET /health/live HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    order = a_post(ORDER).replace(b"Host: shop\r\n", b"Host: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n")
    async with site.connection() as connection:
        await connection.send((upgrade + order) * 50 + GET_LIVE)
        assert [(await connection.answer()).status for _ in range(101)] == [200, 201] * 50 + [200]


async def test_an_upgrade_that_ends_the_connection_ends_it_after_its_response(site: Site) -> None:
    content = POST + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n" + b"\r\n".join(with_length(ORDER))
    assert (await site.ask(content + SMUGGLED)).status == 201


async def test_a_head_with_an_upgrade_is_bounded_and_checked_like_any_other(site: Site) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    too_large = await site.ask(POST + upgrade + b"Cookie: " + b"a" * 40_000 + b"\r\n\r\n")
    two_hosts = await site.ask(POST + upgrade + b"Host: other\r\n\r\n" + SMUGGLED)
    assert (too_large.status, two_hosts.status) == (431, 400)


@FRAMINGS
@ARRIVALS
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /nowhere HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n", 404),
        (b"PUT /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n", 405),
        (b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: text/plain\r\n", 415),
        (b"GET /health/live HTTP/1.1\r\nHost: shop\r\n", 200),
        (b"DELETE /orders/1 HTTP/1.1\r\nHost: shop\r\n", 404),
        (b"OPTIONS /orders HTTP/1.1\r\nHost: shop\r\n", 204),
    ],
)
async def test_a_body_that_nobody_wants_is_drained(
    site: Site, head: bytes, status: int, framed: Framed, arriving: Arriving
) -> None:
    field, content = framed(SMUGGLED)
    async with site.connection() as connection:
        await send_each(connection, arriving(head + field + b"\r\n", content))
        async with asyncio.timeout(60):
            first = await connection.reader.readuntil(b"\r\n\r\n")
            # RFC 9110, section 8.6: a response with 204 has no length, since it has no body.
            length = first.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
            await connection.reader.readexactly(int(length or 0))
        assert (int(first.split()[1]), bool(length)) == (status, status != 204)
        await next_is_answered(connection)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_early_response_to_a_client_that_ends_the_connection_is_not_lost(site: Site, version: bytes) -> None:
    head = b"POST /nowhere HTTP/" + version + b"\r\nHost: shop\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    async with site.connection() as connection:
        await connection.send(head)
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        await connection.send(SMUGGLED * 1000)
        assert await connection.is_closed()


async def test_a_client_that_waits_for_100_continue_and_gets_another_response_is_disconnected(site: Site) -> None:
    # It now sends either the body or its next request, and nobody can tell which of the two it is.
    head = b"POST /nowhere HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    async with site.connection() as connection:
        await connection.send(head)
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        await connection.send(SMUGGLED)
        assert await connection.is_closed()


async def test_a_client_that_does_not_wait_for_100_continue_keeps_its_connection(site: Site) -> None:
    content = a_post(ORDER).replace(b"/orders", b"/nowhere").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    async with site.connection() as connection:
        await connection.send(content)
        assert (await connection.answer()).status == 404
        await next_is_answered(connection)


async def test_a_client_of_http_1_0_is_not_told_to_continue(site: Site) -> None:
    head = b"POST /orders HTTP/1.0\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    async with site.connection() as connection:
        field, body = with_length(ORDER)
        await send_each(connection, [head + field + b"\r\n", body])
        assert (await connection.answer()).status == 201


@pytest.mark.parametrize(
    "content",
    [
        b"GET /health/live HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        a_post(ORDER).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_what_follows_the_last_request_of_a_connection_is_not_run(site: Site, content: bytes) -> None:
    answer = await site.ask(content + SMUGGLED)
    assert answer.status in {200, 201}
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "content",
    [
        b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"CONNECT /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n",
        b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health/live HTTP/2.0\r\nHost: shop\r\n\r\n",
        b"GET /health/live HTTP/0.9\r\nHost: shop\r\n\r\n",
        b"GET /health/live RTSP/1.1\r\nHost: shop\r\n\r\n",
        b"GET  /health/live  RTSP/1.0\r\n\r\n",
        POST.replace(b"HTTP/", b"RTSP/") + b"Content-Length: 2\r\n\r\n{}",
        b"GET /health/live RTSP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /health/live\r\n\r\n",
        b"GET /health/live#part HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET ftp://shop/health/live HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET http://me:secret@shop/health/live HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET http:///health/live HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET health/live HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"POST /orders HTTP/1.0\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 2, 2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: \r\n\r\n",
        POST + b"Content-Length: 0x2\r\n\r\n{}",
        POST + b"Content-Length : 2\r\n\r\n{}",
        POST + b"X: y\r\n Content-Length: 2\r\n\r\n{}",
        POST + b"X: y\rContent-Length: 2\r\n\r\n{}",
        POST + b"X: y\nContent-Length: 2\r\n\r\n{}",
        POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 500\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_doubt_where_a_request_ends_is_refused_and_ends_the_connection(site: Site, content: bytes) -> None:
    answer = await site.ask(content + SMUGGLED)
    assert (answer.status, answer.code) == (400, "bad_protocol")
    assert answer.headers["connection"] == "close"


async def test_another_protocol_is_found_in_whatever_pieces_it_comes(site: Site) -> None:
    request = b"GET /health/live RTSP/1.1\r\nHost: shop\r\n\r\n"
    for end in range(1, len(request)):
        async with site.connection() as connection:
            await send_each(connection, [request[:end], request[end:]])
            assert (await connection.answer()).code == "bad_protocol", end
    async with site.connection() as connection:
        # The second of a pipeline, whose beginning comes with the first.
        await send_each(connection, [GET_LIVE + request[:20], request[20:]])
        assert [(await connection.answer()).status for _ in range(2)] == [200, 400]


async def test_what_only_mentions_another_protocol_is_answered(site: Site) -> None:
    agent = b"GET /health/live HTTP/1.1\r\nUser-Agent: LIVE555 RTSP/1.0 and SERVICE/2\r\nHost: shop\r\n\r\n"
    body = a_post(b'{"note": "GET /health/live RTSP/1.1"}')
    async with site.connection() as connection:
        await send_each(connection, [agent, body, agent])
        assert [(await connection.answer()).status for _ in range(3)] == [200, 422, 200]


@pytest.mark.parametrize(
    "codings", [b"gzip, chunked", b"chunked-ish, chunked", b"identity, chunked", b"gzip\r\nTransfer-Encoding: chunked"]
)
async def test_a_transfer_coding_that_is_not_known_is_not_taken_for_the_body(site: Site, codings: bytes) -> None:
    answer = await site.ask(POST + b"Transfer-Encoding: " + codings + b"\r\n\r\n" + in_chunks(ORDER)[1] + SMUGGLED)
    assert (answer.status, answer.code) == (501, "unknown_transfer_coding")
    assert answer.headers["connection"] == "close"


async def test_a_trailer_is_not_taken_for_headers(site: Site) -> None:
    trailer = b"Content-Type: application/json\r\nIdempotency-Key: k\r\nHost: other\r\nExpect: 100-continue\r\n\r\n"
    head = b"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n"
    _, body = in_chunks(ORDER)
    async with site.connection() as connection:
        await connection.send(head + b"\r\n" + body.removesuffix(b"\r\n") + trailer)
        assert (await connection.answer()).status == 415
        for _ in range(2):
            await connection.send(
                head + b"Content-Type: application/json\r\n\r\n" + body.removesuffix(b"\r\n") + trailer
            )
            answer = await connection.answer()
            assert (answer.status, "idempotent-replayed" in answer.headers) == (201, False)


@ARRIVALS
async def test_a_trailer_that_ends_the_connection_ends_it(site: Site, arriving: Arriving) -> None:
    _, body = in_chunks(ORDER)
    content = body.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"
    async with site.connection() as connection:
        await send_each(connection, arriving(POST + b"Transfer-Encoding: chunked\r\n\r\n", content))
        assert (await connection.answer()).status == 201
        assert await connection.is_closed()


@pytest.mark.parametrize(
    "bad",
    [
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"\x00\r\n\r\n",
    ],
)
async def test_a_malformed_request_gets_no_response_before_those_ahead_of_it(
    site: Site, slow: SlowOrder, bad: bytes
) -> None:
    async with site.connection() as connection, site.connection() as other:
        await connection.send(GET_ORDER)
        await slow.asked.wait()
        await connection.send(bad + SMUGGLED)
        # A round trip on another connection shows that the server has read this one.
        await next_is_answered(other)
        slow.may_answer.set()
        assert (await connection.answer()).status == 200
        async with asyncio.timeout(60):
            rest = await connection.reader.read()
        assert rest == b"" or rest.split()[1] in {b"400", b"501"}
        assert rest.count(b"HTTP/1.1 ") <= 1


async def test_a_body_that_is_malformed_after_its_early_response_gets_no_second_response(site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(b"POST /nowhere HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await connection.answer()).status == 404
        await connection.send(b"zz\r\n" + SMUGGLED)
        assert await connection.is_closed()


async def test_a_body_that_stops_after_its_early_response_gets_no_second_response(app: Quart) -> None:
    async with running(app, receive_timeout=1.5) as site, site.connection() as connection:
        await connection.send(b"POST /nowhere HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n")
        assert (await connection.answer()).status == 404
        assert await connection.is_closed()


async def test_a_page_of_another_origin_reads_what_is_answered_before_the_application(use_cases: UseCases) -> None:
    app = app_over(use_cases, cors_origins=["https://shop.example"])
    async with running(app) as site, site.connection() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\nContent-Length: x\r\n\r\n")
        answer = await connection.answer()
    assert answer.status == 400
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
