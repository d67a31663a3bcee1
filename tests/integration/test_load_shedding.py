"""Load shedding: an overloaded server refuses requests at once, on any kind of connection, and answers the rest."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import pytest
from attrs import evolve, field, frozen
from quart import Quart, Request

from adapters.telemetry.prometheus import PrometheusTelemetry
from application.access.principal import ANYBODY, Principal
from domain.ids import OrderId
from domain.orders.order import Order
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from tests.http.browser import app_over
from tests.sockets import GET_LIVE, GET_ORDER, ORDER, POST, Answer, Connection, Site, a_post, running
from tests.unit.application.test_metrics import value
from tests.unit.shop import Shop

LIMIT = 4
# Seconds for which a connection is kept without a request.
KEEP_ALIVE = 2


@frozen
class SlowOrders:
    """A use case that answers when the test lets it."""

    _order: Order
    asked: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(0))
    may_answer: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, _by: Principal, _: OrderId) -> Order:
        self.asked.release()
        await self.may_answer.wait()
        return self._order


@pytest.fixture
async def shop() -> Shop:
    return Shop()


@pytest.fixture
async def slow(shop: Shop) -> SlowOrders:
    return SlowOrders(await shop.order((await shop.sells(), 1)))


@pytest.fixture
def keys() -> list[str | None]:
    """The keys that the API has looked at."""
    return []


@pytest.fixture
def app(shop: Shop, slow: SlowOrders, keys: list[str | None]) -> Quart:
    async def authenticate(request: Request) -> Principal:
        keys.append(request.headers.get("Authorization"))
        return ANYBODY

    return app_over(evolve(shop.use_cases, get_order=slow), request_timeout=3600, authenticate=authenticate)


@pytest.fixture
async def site(app: Quart) -> AsyncIterator[Site]:
    async with running(app, keep_alive=KEEP_ALIVE, concurrency=ConcurrencyLimit(presumed=0, least=LIMIT)) as site:
        yield site


@pytest.fixture
async def busy(site: Site, slow: SlowOrders) -> AsyncIterator[list["asyncio.Task[Answer]"]]:
    """The answers to as many requests as may be in progress, which wait for `slow`."""

    async def ask() -> Answer:
        async with site.connection() as connection:
            await connection.send(GET_ORDER)
            return await connection.answer()

    asking = [asyncio.create_task(ask()) for _ in range(LIMIT)]
    async with asyncio.timeout(60):
        for _ in asking:
            await slow.asked.acquire()
    yield asking
    slow.may_answer.set()
    await asyncio.gather(*asking)


@pytest.fixture
async def connection(site: Site) -> AsyncIterator[Connection]:
    async with site.connection() as connection:
        yield connection


def assert_refused(answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["cache-control"] == "no-store"


async def test_one_more_than_can_be_answered_is_told_at_once_to_come_again(
    busy: list["asyncio.Task[Answer]"], connection: Connection
) -> None:
    await connection.send(a_post(ORDER))
    assert_refused(await connection.answer())
    assert not any(answer.done() for answer in busy)


async def test_the_same_connection_is_served_as_soon_as_there_is_room(
    busy: list["asyncio.Task[Answer]"], slow: SlowOrders, connection: Connection
) -> None:
    await connection.send(a_post(ORDER))
    assert_refused(await connection.answer())
    slow.may_answer.set()
    assert [(await answer).status for answer in busy] == [200] * LIMIT
    await connection.send(a_post(ORDER))
    assert (await connection.answer()).status == 201


async def test_nothing_is_done_for_a_shed_request_and_nobody_looks_at_its_key(
    busy: list["asyncio.Task[Answer]"], shop: Shop, keys: Sequence[str | None], connection: Connection
) -> None:
    before = len(shop.store.orders)
    assert len(keys) == len(busy)
    for _ in range(2):
        await connection.send(a_post(ORDER).replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x\r\n\r\n", 1))
        assert_refused(await connection.answer())
    assert (len(shop.store.orders), len(keys)) == (before, len(busy))


@pytest.mark.parametrize(
    "spelling", [b"Request-Id: monday-7", b"request-id:monday-7 ", b"X: 1\r\nREQUEST-ID: monday-7"]
)
async def test_a_shed_request_is_named_in_its_answer(busy: object, connection: Connection, spelling: bytes) -> None:
    await connection.send(a_post(ORDER))
    made = await connection.answer()
    named = a_post(ORDER).replace(b"\r\n\r\n", b"\r\n" + spelling + b"\r\n\r\n")
    # The first one of a connection is read in full, those after it are not.
    for request in (named, named + named):
        await connection.send(request)
    for _ in range(3):
        answer = await connection.answer()
        assert_refused(answer)
        assert answer.headers["request-id"] == "monday-7"
    await connection.send(a_post(b"\r\nRequest-Id: not-of-a-header\r\n"))
    another = await connection.answer()
    assert_refused(another)
    assert len({made.headers["request-id"], another.headers["request-id"], "not-of-a-header"}) == 3


async def test_orders_that_are_shed_are_told_from_what_else_is(app: Quart) -> None:
    """Also those that are refused unread, as all but the first one of a connection are."""
    telemetry = PrometheusTelemetry()
    in_v1 = a_post(ORDER).replace(b"POST /orders", b"POST /v1/orders")
    sent = [a_post(ORDER), a_post(ORDER), in_v1, GET_ORDER, a_post(ORDER).replace(b"/orders", b"/orders/1/pay")]
    full = ConcurrencyLimit(presumed=0, least=0)
    async with running(app, concurrency=full, telemetry=telemetry) as site, site.connection() as connection:
        for request in sent:
            await connection.send(request)
            assert_refused(await connection.answer())
    async with running(app, concurrency=full, telemetry=(first := PrometheusTelemetry())) as site:
        for request in sent:
            async with site.connection() as connection:
                await connection.send(request)
                assert_refused(await connection.answer())
    for each in (telemetry, first):
        assert value(each, "load_shed_total", request="order") == 3
        assert value(each, "load_shed_total", request="other") == 2


async def test_whether_the_process_lives_is_answered_all_the_same(busy: object, connection: Connection) -> None:
    await connection.send(GET_LIVE)
    assert (await connection.answer()).status == 200


@pytest.mark.parametrize(
    "path", [b"/health/ready", b"/health/live/", b"/health/", b"/health", b"/health/%6cive", b"//health/live"]
)
async def test_whether_it_is_ready_is_a_request_like_any_other(
    busy: object, connection: Connection, path: bytes
) -> None:
    """Those who ask for it must not take the place of orders."""
    await connection.send(GET_LIVE.replace(b"/health/live", path))
    assert_refused(await connection.answer())


async def test_a_body_that_comes_after_the_refusal_is_not_taken_for_a_request(
    busy: object, connection: Connection
) -> None:
    inner = a_post(ORDER)
    request = POST + b"Content-Length: %d\r\n\r\n" % len(inner)
    await connection.send(request)
    assert_refused(await connection.answer())
    await connection.send(inner[:10])
    await connection.send(inner[10:] + GET_LIVE)
    assert (await connection.answer()).status == 200


async def test_a_body_behind_another_request_is_not_taken_for_a_request(
    busy: object, site: Site, connection: Connection
) -> None:
    await connection.send(GET_LIVE)
    assert (await connection.answer()).status == 200
    inner = a_post(ORDER)
    # One that is whole, and the beginning of the next, in one piece.
    await connection.send(a_post(ORDER) + POST + b"Content-Length: %d\r\n\r\n" % len(inner))
    assert_refused(await connection.answer())
    assert_refused(await connection.answer())
    await connection.send(inner)
    async with site.connection() as other:
        # By then what was sent before has been read, and by itself.
        await other.send(GET_LIVE)
        assert (await other.answer()).status == 200
    await connection.send(GET_LIVE)
    assert (await connection.answer()).status == 200


async def test_many_requests_sent_at_once_are_all_answered_in_their_order(busy: object, connection: Connection) -> None:
    # More than Python has room for calls within calls.
    many = 2 * sys.getrecursionlimit()
    await connection.send(GET_LIVE + a_post(ORDER) * many + GET_LIVE)
    assert (await connection.answer()).status == 200
    for _ in range(many):
        assert_refused(await connection.answer())
    assert (await connection.answer()).status == 200


async def test_a_connection_is_kept_for_as_long_after_a_refusal_as_after_any_answer(
    busy: object, connection: Connection
) -> None:
    loop = asyncio.get_running_loop()
    # The first one of a connection is read in full, those after it are not.
    await connection.send(a_post(ORDER))
    assert_refused(await connection.answer())
    await asyncio.sleep(KEEP_ALIVE / 4)
    asked_at = loop.time()
    await connection.send(a_post(ORDER))
    assert_refused(await connection.answer())
    assert await connection.is_closed()
    assert loop.time() - asked_at > KEEP_ALIVE - 0.1


async def test_those_behind_a_request_that_is_being_answered_wait_for_it(
    site: Site, slow: SlowOrders, connection: Connection
) -> None:
    await connection.send(GET_ORDER + a_post(ORDER))
    async with asyncio.timeout(60):
        await slow.asked.acquire()
    async with site.connection() as others:
        for _ in range(LIMIT - 1):
            async with site.connection() as other:
                await other.send(GET_ORDER)
                await asyncio.wait_for(slow.asked.acquire(), 60)
        await others.send(GET_LIVE)
        assert (await others.answer()).status == 200
    slow.may_answer.set()
    assert [(await connection.answer()).status for _ in range(2)] == [200, 201]


@pytest.mark.parametrize(
    "request_",
    [
        a_post(ORDER).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        a_post(ORDER).replace(b"HTTP/1.1", b"HTTP/1.0"),
        POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["close", "HTTP/1.0", "waits to be asked for its body"],
)
async def test_a_connection_that_can_not_go_on_ends_after_the_refusal(
    busy: object, connection: Connection, request_: bytes
) -> None:
    await connection.send(request_)
    answer = await connection.answer()
    assert_refused(answer)
    assert answer.headers["connection"] == "close"
    assert await connection.is_closed()


async def test_a_question_for_the_head_alone_gets_no_body(busy: object, connection: Connection) -> None:
    await connection.send(GET_ORDER.replace(b"GET", b"HEAD"))
    async with asyncio.timeout(60):
        head = await connection.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    await connection.send(GET_LIVE)
    assert (await connection.answer()).status == 200
