"""The feed over HTTP: pages and streams, over memory."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self

import pytest
from attrs import define, field
from quart import Quart

from application.access.principal import ANYBODY, Principal, Unauthenticated
from application.access.scopes import CUSTOMER_SCOPES
from application.errors import Overloaded, Unavailable
from application.feed.give_positions import PruneFeed
from domain.ids import UserId
from entrypoints.http.routes.events import QUIET
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

PATIENCE = 120.0
# Where a reader begins again whose position is not kept.
READ_ANEW = {"orders": "/orders", "exports": "/exports"}


@pytest.fixture
def app(shop: Shop) -> Quart:
    return app_over(shop.use_cases)


@define(eq=False)
class Stream:
    """A client that reads a stream, as the server drives the application."""

    app: Quart
    path: str
    headers: dict[str, str] = field(factory=dict)
    method: str = "GET"
    status: int = field(default=0, init=False)
    sent: dict[str, str] = field(factory=dict, init=False)
    body: bytes = field(default=b"", init=False)
    # Whether it takes what is sent to it.
    takes: asyncio.Event = field(factory=asyncio.Event, init=False)
    _task: "asyncio.Task[None]" = field(init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def __aenter__(self) -> Self:
        self.takes.set()
        path, _, query = self.path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "asgi": {},
            "method": self.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.headers.items()],
        }
        self._task = asyncio.create_task(self.app(scope, self._receive, self._send))  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up: the server cancels the task of the request."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.sent = {name.decode().title(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
        self._news.set()
        await self.takes.wait()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._task

    @property
    def events(self) -> list[dict[str, str]]:
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines()) for block in self.body.decode().split("\n\n")
        ]
        return [block for block in blocks if "data" in block]

    @property
    def positions(self) -> list[int]:
        return [int(event["id"]) for event in self.events]


async def sold(shop: Shop, count: int = 1) -> None:
    """Each order has the events placed, payment_requested, stock_reserved and paid."""
    pen = await shop.sells()
    for _ in range(count):
        await shop.paid((pen, 1))
    await shop.use_cases.give_positions()


async def test_pages_of_events_go_on_after_a_position(shop: Shop, app: Quart) -> None:
    await sold(shop)
    browser = Browser(app)
    page = await browser.get("/events?limit=3")
    assert [event["position"] for event in page.body["items"]] == [1, 2, 3]
    assert (page.body["next"], page.headers["Holdfast-Position"]) == (3, "4")
    page = await browser.get("/events?after=3")
    [event] = page.body["items"]
    order = await browser.get(f"/orders/{event.pop('order_id')}/events")
    assert event.pop("position") == 4
    assert event == order.body["items"][-1]
    assert (await browser.get("/events?after=4")).body == {"items": [], "next": 4}


async def test_events_of_some_types_or_of_one_order(shop: Shop, app: Quart) -> None:
    await sold(shop, 2)
    browser = Browser(app)

    async def found(query: str) -> list[tuple[int, str]]:
        return [(event["position"], event["type"]) for event in (await browser.get(f"/events?{query}")).body["items"]]

    assert await found("types=order.paid") == [(4, "order.paid"), (8, "order.paid")]
    assert len(await found("types=order.paid,order.*")) == 8
    order_id = (await browser.get("/events?after=4")).body["items"][0]["order_id"]
    assert [position for position, _ in await found(f"order_id={order_id}")] == [5, 6, 7, 8]
    assert await found(f"order_id={order_id}&types=order.pla*") == [(5, "order.placed")]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("after=-1", "after"),
        ("after=one", "after"),
        ("after=99999999999999999999", "after"),
        ("types=", "types"),
        ("types=order.paid,", "types"),
        ("types=order.pait", "types"),
        ("types=paid*", "types"),
        ("order_id=7", "order_id"),
        ("limit=0", "limit"),
        ("wait=11", "wait"),
        ("wait=-1", "wait"),
        ("wait=nan", "wait"),
        ("max_events=1", "max_events"),
        ("user_id=1", "user_id"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(app: Quart, query: str, wrong: str) -> None:
    answer = await Browser(app).get(f"/events?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert list(answer.errors) == [wrong]


async def test_a_position_that_is_not_kept_is_gone(shop: Shop, app: Quart) -> None:
    await sold(shop)
    answer = await Browser(app).get("/events?after=5")
    assert (answer.status, answer.code) == (410, "position_not_kept")
    shop.clock.forward(timedelta(days=2))
    await PruneFeed(shop.unit_of_work, timedelta(days=1))()
    answer = await Browser(app).get("/events?after=3")
    assert (answer.status, answer.code) == (410, "position_not_kept")
    # Its explanation says where all orders are to be had at once.
    assert "POST /exports" in (await Browser(app).get(answer.body["type"])).body["remedy"]
    assert "the oldest position is 5" in answer.body["detail"]
    assert (await Browser(app).get("/events")).body == {"items": [], "next": 4}


async def test_a_request_that_waits_is_answered_by_the_next_event(shop: Shop, app: Quart) -> None:
    await sold(shop)
    waits = asyncio.create_task(Browser(app).get("/events?after=4&wait=10&types=order.placed"))
    await asyncio.sleep(0)
    await sold(shop)
    async with asyncio.timeout(PATIENCE):
        answer = await waits
    assert [event["position"] for event in answer.body["items"]] in ([5], [])
    assert answer.status == 200
    assert shop.use_cases.feed_tail.count == 0


async def test_a_customer_gets_the_events_of_its_own_orders(shop: Shop) -> None:
    pen = await shop.sells()
    for user_id in (1, 2, 1):
        await shop.order((pen, 1), user_id=user_id)
    await shop.use_cases.give_positions()
    customer = Principal("a customer", user_id=UserId(1), scopes=CUSTOMER_SCOPES)

    async def authenticate(_: object) -> Principal:
        return customer

    app = app_over(shop.use_cases, authenticate=authenticate)
    assert [event["position"] for event in (await Browser(app).get("/events")).body["items"]] == [1, 3]
    async with Stream(app, "/events/stream?after=0&max_events=2") as stream:
        await stream.ended()
    assert stream.positions == [1, 3]


async def test_a_stream_has_what_was_and_what_comes_and_ends_where_it_was_told(shop: Shop, app: Quart) -> None:
    await sold(shop)
    async with Stream(app, "/events/stream?after=2&max_events=5") as stream:
        await stream.until(lambda: len(stream.events) == 2)
        assert stream.status == 200
        assert stream.sent["Content-Type"] == "text/event-stream"
        assert stream.sent["X-Accel-Buffering"] == "no"
        assert stream.body.startswith(b"retry: 2000\n\n")
        await sold(shop)
        await stream.ended()
    assert stream.positions == [3, 4, 5, 6, 7]
    assert stream.events[1]["event"] == "order.paid"
    assert json.loads(stream.events[1]["data"])["position"] == 4
    assert shop.use_cases.feed_tail.count == 0


async def test_a_client_that_comes_back_goes_on_after_the_last_event_that_it_read(shop: Shop, app: Quart) -> None:
    await sold(shop, 2)
    headers = {"Last-Event-ID": "6"}
    async with Stream(app, "/events/stream?after=1&max_events=2", headers) as stream:
        await stream.ended()
    assert stream.positions == [7, 8]
    answer = await Browser(app).send("GET", "/events/stream", more=[("Last-Event-ID", "x")])
    assert (answer.status, answer.code) == (400, "invalid_header")


async def test_a_stream_without_a_position_begins_with_what_is_new(shop: Shop, app: Quart) -> None:
    await sold(shop)
    async with Stream(app, "/events/stream?types=order.placed") as stream:
        await stream.until(lambda: stream.status)
        assert shop.use_cases.feed_tail.count == 1
        await sold(shop)
        await stream.until(lambda: stream.events)
        assert stream.positions == [5]
    assert shop.use_cases.feed_tail.count == 0


async def test_a_stream_after_a_position_that_is_not_kept_says_so_and_ends(shop: Shop, app: Quart) -> None:
    await sold(shop)
    async with Stream(app, "/events/stream?after=7") as stream:
        await stream.ended()
    [event] = stream.events
    assert event["event"] == "reset"
    assert "id" not in event
    assert json.loads(event["data"]) | {"detail": ""} == {"oldest": 1, "newest": 4, "detail": "", **READ_ANEW}


async def test_streams_end_when_the_process_stops(shop: Shop, app: Quart) -> None:
    async with Stream(app, "/events/stream") as stream:
        await stream.until(lambda: stream.status)
        shop.use_cases.feed_tail.close()
        await stream.ended()
        *_, last = stream.body.decode().strip().split("\n\n")
        assert 2000 <= int(last.removeprefix("retry: ")) <= 5000
    async with Stream(app, "/events/stream") as stream:
        await stream.ended()


async def test_a_stream_without_news_says_now_and_then_that_it_lives(
    shop: Shop, app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert QUIET == 10.0
    monkeypatch.setattr("entrypoints.http.routes.events.QUIET", 0.02)
    monkeypatch.setattr("entrypoints.http.routes.events._LONGEST_WAIT", 0.01)
    async with Stream(app, "/events/stream") as stream:
        await stream.until(lambda: b"\n\n: no events\n\n: no events\n\n" in stream.body)
        await sold(shop)
        await stream.until(lambda: len(stream.events) == 4)
    assert stream.positions == [1, 2, 3, 4]


async def test_a_client_that_takes_nothing_is_cut_off_and_goes_on_without_gap(shop: Shop, app: Quart) -> None:
    pen = await shop.sells(stock=1000)
    quick, slow = Stream(app, "/events/stream"), Stream(app, "/events/stream")
    async with quick, slow:
        await quick.until(lambda: quick.body)
        await slow.until(lambda: slow.body)
        for ordered in (1, 61, 121, 181, 241, 301, 361):
            while len(shop.store.orders) < ordered:
                await shop.order((pen, 1))
            await shop.use_cases.give_positions()
            await quick.until(lambda ordered=ordered: len(quick.events) == ordered)
            if ordered == 1:
                await slow.until(lambda: slow.events)
                slow.takes.clear()
        slow.takes.set()
        await slow.ended()
    assert slow.body.endswith(b": the client was too slow, and can go on after the last event that it has read\n\n")
    assert len(slow.events) < len(quick.events)
    rest = f"/events/stream?max_events={len(quick.events) - len(slow.events)}"
    async with Stream(app, rest, {"Last-Event-ID": slow.events[-1]["id"]}) as again:
        await again.ended()
    assert slow.positions + again.positions == quick.positions == list(range(1, 362))


async def test_the_head_of_a_stream_has_no_body(app: Quart, shop: Shop) -> None:
    async with Stream(app, "/events/stream", method="HEAD") as stream:
        await stream.ended()
    assert (stream.status, stream.body) == (200, b"")
    assert shop.use_cases.feed_tail.count == 0


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (Unauthenticated, "the key is not valid any more"),
        (Overloaded, "the key could not be looked up for too long"),
        (Unavailable, "the key could not be looked up for too long"),
    ],
)
async def test_a_stream_ends_when_its_key_would_be_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, refusal: type[Exception], told: str
) -> None:
    monkeypatch.setattr("entrypoints.http.routes.events._LOOK_AT_KEY", 0.0)
    monkeypatch.setattr("entrypoints.http.routes.events._LONGEST_WAIT", 0.01)
    callers: list[Principal] = [ANYBODY]

    async def authenticate(_: object) -> Principal:
        if not callers:
            raise refusal("no caller any more")
        return callers[0]

    async with Stream(app_over(shop.use_cases, authenticate=authenticate), "/events/stream") as stream:
        await stream.until(lambda: stream.status)
        await sold(shop)
        await stream.until(lambda: len(stream.events) == 4)
        callers.clear()
        await stream.ended()
    assert stream.body.endswith(f": {told}\n\n".encode())


async def test_no_event_reaches_a_key_that_was_revoked_during_the_wait_for_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrypoints.http.routes.events._LOOK_AT_KEY", 0.0)
    monkeypatch.setattr("entrypoints.http.routes.events._LONGEST_WAIT", 300.0)
    callers: list[Principal] = [ANYBODY]

    async def authenticate(_: object) -> Principal:
        if not callers:
            raise Unauthenticated("the key was revoked")
        return callers[0]

    async with Stream(app_over(shop.use_cases, authenticate=authenticate), "/events/stream") as stream:
        await stream.until(lambda: stream.status)
        await sold(shop)
        await stream.until(lambda: len(stream.events) == 4)
        callers.clear()
        await sold(shop)
        await stream.ended()
    assert len(stream.events) == 4
