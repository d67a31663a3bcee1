"""The client library over the service in memory, on a network that loses requests and answers."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from attrs import define, field
from holdfast_client import (
    ApiError,
    AsyncClient,
    Client,
    Forbidden,
    Invalid,
    Item,
    NoAnswer,
    NotFound,
    NotInTime,
    PositionNotKept,
    PreconditionFailed,
    RefusedByRules,
    Retries,
    Unavailable,
    UnexpectedAnswer,
    verify_webhook,
)
from quart import Quart

from application.access.principal import Principal
from domain.ids import UserId
from tests.http.browser import app_over
from tests.http.test_access import NOWHERE
from tests.http.test_dead_letters import set_aside
from tests.http.test_jobs import work
from tests.unit.builders import NOW
from tests.unit.shop import Shop
from tests.unit.webhooks import BROKEN, OK, URL, Webhooks

AT_ONCE = Retries(first_pause=0.001, longest_pause=2.0)


@define(eq=False)
class Network(httpx.AsyncBaseTransport):
    """Carries requests to the service. What is in `faults` happens to the next ones."""

    _app: Quart
    faults: list[Callable[[httpx.Request], httpx.Response | None]] = field(factory=list)
    requests: int = 0
    _inner: httpx.ASGITransport = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._inner = httpx.ASGITransport(app=self._app)  # type: ignore[arg-type]  # Quart is an ASGI application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if request.url.path == "/events/stream":
            # A proxy that lets no streams through; the in-memory transport waits for the end of each body.
            return httpx.Response(404, request=request)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and (answer := fault(request)) is not None:
            return answer
        response = await self._inner.handle_async_request(request)
        if fault is not None:
            raise httpx.ReadError("the connection was lost", request=request)
        return response


def lose_the_request(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def lose_the_answer(_: httpx.Request) -> None:
    """The service has done what it was asked for."""


def answer(status: int, **body: Any) -> Callable[[httpx.Request], httpx.Response]:
    problem = {"code": "overloaded", "title": "Overloaded", "detail": "", "request_id": "r", "retryable": True, **body}
    return lambda request: httpx.Response(status, json=problem, headers={"Retry-After": "0"}, request=request)


@pytest.fixture
def network(shop: Shop) -> Network:
    return Network(app_over(shop.use_cases))


@pytest.fixture
async def client(network: Network) -> AsyncIterator[AsyncClient]:
    async with AsyncClient("http://shop.example", transport=network, retries=AT_ONCE) as client:
        yield client


async def test_an_order_is_placed_once_though_its_answers_are_lost(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells(price=1250)
    network.faults += [lose_the_request, lose_the_answer, lose_the_answer]
    order = await client.place_order(1, [Item(pen.id, 2)], external_id="A-1")
    assert (order.status, order.total_price, order.currency) == ("PENDING", 2500, "EUR")
    assert order.raw["external_id"] == "A-1"
    assert list(shop.store.orders) == [order.order_id]
    assert await client.order(order.order_id) == order


async def test_a_timeline_tells_what_the_time_of_an_order_went_into(shop: Shop, client: AsyncClient) -> None:
    order = await shop.paid((await shop.sells(), 1))
    shop.clock.forward(timedelta(seconds=2))
    await shop.use_cases.give_positions()
    timeline = await client.timeline(order.id)
    assert (timeline.status, timeline.waits_for) == ("PAID", "shop")
    assert {step.kind for step in timeline.steps} == {"event"}
    assert [step.legs for step in timeline.steps] == [
        {"feed": 2.0},
        {"feed": 2.0},
        {"queue": 0.0, "feed": 2.0},
        {"worker": 0.0, "provider": 0.0, "feed": 2.0},
    ]


async def test_a_key_of_ones_own_places_the_same_order_again_in_another_process(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells()
    first = await client.place_order(1, [Item(pen.id, 1)], key="basket 7")
    async with AsyncClient("http://shop.example", transport=network) as another:
        assert await another.place_order(1, [Item(pen.id, 1)], key="basket 7") == first


async def test_two_calls_place_two_orders(shop: Shop, client: AsyncClient) -> None:
    pen = await shop.sells()
    placed = [await client.place_order(1, [Item(pen.id, 1)]) for _ in range(2)]
    assert len({order.order_id for order in placed}) == 2


async def test_a_payment_is_requested_once_though_its_answers_are_lost(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)])
    network.faults += [lose_the_answer, lose_the_answer]
    assert (await client.pay(order.order_id)).status == "PROCESSING"
    requested = [event for event in await client.history(order.order_id) if event.type == "order.payment_requested"]
    assert len(requested) == 1


async def test_what_has_no_key_is_not_sent_again_when_it_may_have_happened(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)])
    network.faults += [lose_the_answer]
    before = network.requests
    with pytest.raises(NoAnswer) as caught:
        await client.cancel(order.order_id)
    assert caught.value.may_have_happened
    assert network.requests == before + 1
    assert (await client.order(order.order_id)).status == "CANCELLED"


async def test_what_has_no_key_is_sent_again_when_it_did_not_arrive_or_was_not_done(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)])
    network.faults += [lose_the_request, answer(503), answer(429)]
    assert (await client.cancel(order.order_id)).status == "CANCELLED"


async def test_what_can_not_succeed_is_not_sent_again(network: Network, client: AsyncClient) -> None:
    network.faults += [answer(503, retryable=False)]
    with pytest.raises(Unavailable):
        await client.newest_position()
    assert network.requests == 1


async def test_it_gives_up_after_its_attempts(network: Network, client: AsyncClient) -> None:
    network.faults += [lose_the_request] * 5
    with pytest.raises(NoAnswer) as caught:
        await client.newest_position()
    assert not caught.value.may_have_happened
    assert network.requests == 5


async def test_it_does_not_wait_longer_than_its_longest_pause(network: Network, client: AsyncClient) -> None:
    problem = {"code": "too_many_requests", "retryable": True}
    network.faults += [
        lambda request: httpx.Response(429, json=problem, headers={"Retry-After": "3600"}, request=request)
    ]
    with pytest.raises(ApiError) as caught:
        await client.newest_position()
    assert caught.value.retry_after == 3600
    assert network.requests == 1


async def test_errors_say_what_kind_they_are_and_all_that_is_wrong(shop: Shop, client: AsyncClient) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)])
    with pytest.raises(NotFound) as missing:
        await client.order(uuid4())
    assert missing.value.code == "unknown_order"
    assert missing.value.request_id in str(missing.value)
    with pytest.raises(RefusedByRules) as early:
        await client.complete(order.order_id)
    assert early.value.code == "illegal_transition"
    with pytest.raises(PreconditionFailed):
        await client.cancel(order.order_id, version=99)
    with pytest.raises(Invalid) as invalid:
        await client.place_order(1, [Item(pen.id, 0)], email="nobody")
    assert {wrong.where for wrong in invalid.value.errors} == {"/items/0/quantity", "/email"}
    assert all(wrong.where in str(invalid.value) for wrong in invalid.value.errors)


async def test_a_customer_who_may_not_is_told_so(shop: Shop) -> None:
    async def let_in(_: object) -> Principal:
        return Principal("a key", user_id=UserId(1), scopes=frozenset())

    app = app_over(shop.use_cases, authenticate=let_in)
    async with AsyncClient("http://shop.example", "hf_key", transport=httpx.ASGITransport(app=app)) as client:  # type: ignore[arg-type]
        with pytest.raises(Forbidden, match="orders:write"):
            await client.place_order(1, [Item(1, 1)])


async def test_what_is_no_answer_of_holdfast_is_called_so(network: Network, client: AsyncClient) -> None:
    network.faults += [
        lambda request: httpx.Response(502, text="<html>Bad gateway</html>", request=request),
        lambda request: httpx.Response(200, json={"hello": "world"}, request=request),
    ]
    for _ in range(2):
        with pytest.raises(UnexpectedAnswer):
            await client.product(1)


async def test_an_order_is_waited_for_until_it_has_the_status_or_the_version(shop: Shop, client: AsyncClient) -> None:
    order = await client.place_order(1, [Item((await shop.sells()).id, 1)])
    async with asyncio.timeout(30):
        by_status = asyncio.ensure_future(client.wait_for(order.order_id, status=("PROCESSING", "FAILED")))
        by_version = asyncio.ensure_future(client.wait_for(order.order_id, version=order.version + 1))
        while shop.use_cases.waiting < 2:  # noqa: ASYNC110 - they wait inside
            await asyncio.sleep(0)
        await client.pay(order.order_id)
        assert {(await waited).status for waited in (by_status, by_version)} == {"PROCESSING"}


async def test_a_wait_for_an_order_ends(shop: Shop, client: AsyncClient) -> None:
    order = await client.place_order(1, [Item((await shop.sells()).id, 1)])
    assert await client.wait_for(order.order_id, status="PENDING", timeout=0) == order
    with pytest.raises(NotInTime, match="is PENDING, at version 1") as caught:
        await client.wait_for(order.order_id, status="PAID", timeout=0.01)
    assert caught.value.order == order
    with pytest.raises(ValueError, match="which status"):
        await client.wait_for(order.order_id)


async def test_lists_come_whole(shop: Shop, client: AsyncClient) -> None:
    pen = await shop.sells(stock=500)
    placed = [await client.place_order(1 + number % 2, [Item(pen.id, 1)]) for number in range(5)]
    listed = [order async for order in client.orders()]
    assert {order.order_id for order in listed} == {order.order_id for order in placed}
    assert len(listed) == len(placed)
    assert [order async for order in client.orders(user_id=1)] == [order for order in listed if order.user_id == 1]
    page = await client.order_page(limit=2)
    following = await client.order_page(limit=2, cursor=page.next)
    assert [*page, *following] == listed[:4]
    assert [product.id async for product in client.products()] == [pen.id]


async def test_products_are_entered_changed_and_stocked(client: AsyncClient) -> None:
    pen = await client.add_product("Fountain pen", price=1250, currency="EUR", stock=2)
    changed = await client.change_product(pen.id, price=1300)
    await client.adjust_stock(pen.id, 3, reason="delivery")
    assert (changed.price, (await client.product(pen.id)).stock) == (1300, 5)


async def test_details_are_changed(shop: Shop, client: AsyncClient) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)], note="ring twice", metadata={"source": "shop"})
    changed = await client.change_order(order.order_id, note=None, metadata={"campaign": "spring"})
    assert changed.raw["note"] is None
    assert changed.raw["metadata"] == {"source": "shop", "campaign": "spring"}
    await client.delete_order(order.order_id, version=changed.version)
    with pytest.raises(NotFound):
        await client.order(order.order_id)


async def test_a_change_that_waits_for_its_order_names_its_job(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)])
    assert order.job_id is None
    job_id, told = UUID(NOWHERE), {**order.raw, "job_id": NOWHERE}
    network.faults += [lambda request: httpx.Response(202, json=told, request=request)] * 3
    assert (await client.cancel(order.order_id)).job_id == job_id
    assert (await client.pay(order.order_id)).job_id == job_id
    assert await client.delete_order(order.order_id) == job_id
    assert await client.delete_order(order.order_id) is None


async def test_the_feed_is_followed_by_pages_where_no_stream_gets_through(shop: Shop, client: AsyncClient) -> None:
    pen = await shop.sells()
    await shop.paid((pen, 1))
    await shop.use_cases.give_positions()
    seen = []
    async for event in client.events(after=0, types=["order.placed", "order.paid"]):
        seen.append((event.type, event.position))
        if event.type == "order.paid" and len(seen) == 2:
            # Happens after the reader has come to the end of the feed.
            await shop.paid((pen, 1))
            await shop.use_cases.give_positions()
        if len(seen) == 4:
            break
    assert [type_ for type_, _ in seen] == ["order.placed", "order.paid"] * 2
    assert [position for _, position in seen] == sorted({position for _, position in seen})


async def test_a_position_that_is_not_kept_is_told(client: AsyncClient) -> None:
    with pytest.raises(PositionNotKept):
        async for _ in client.events(after=99):
            pass


@define(eq=False)
class Streams(httpx.AsyncBaseTransport):
    """A service whose first stream breaks off in the middle of an event."""

    asked: list[str] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url.raw_path.decode()))
        after = int(request.url.params["after"])
        if request.url.path == "/events":
            items = [self._event(after + 1)] if after == 3 else []
            return httpx.Response(200, json={"items": items, "next": after + len(items)}, request=request)
        headers = {"Content-Type": "text/event-stream"}
        return httpx.Response(200, headers=headers, content=self._stream(after), request=request)

    async def _stream(self, after: int) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n: no events\n\n"
        yield self._lines(after + 1)
        following = self._lines(after + 2)
        yield following[:60]
        if after == 2:
            raise httpx.ReadError("the connection was lost")
        yield following[60:]

    def _lines(self, position: int) -> bytes:
        return b"id: %d\nevent: order.placed\ndata: %b\n\n" % (position, json.dumps(self._event(position)).encode())

    @staticmethod
    def _event(position: int) -> dict[str, Any]:
        return {
            "position": position,
            "order_id": str(uuid4()),
            "sequence": 1,
            "type": "order.placed",
            "time": "2026-01-01T00:00:00Z",
            "data": {},
        }


async def test_a_stream_that_breaks_off_is_resumed_without_gap_or_duplicate() -> None:
    streams = Streams()
    async with AsyncClient("http://shop.example", transport=streams, retries=AT_ONCE) as client:
        positions = []
        async for event in client.events(after=2):
            positions.append(event.position)
            if len(positions) == 4:
                break
    assert positions == [3, 4, 5, 6]
    assert [path.partition("?")[0] for path in streams.asked] == ["/events/stream", "/events", "/events/stream"]


def break_off(size: int) -> Callable[[httpx.Request], httpx.Response]:
    """Answer with the head of the whole, and with so many bytes of it."""

    async def part() -> AsyncIterator[bytes]:
        yield EXPORTED[:size]
        raise httpx.ReadError("the connection was lost")

    return lambda request: of_export(200, part(), len(EXPORTED), request)


def go_on(request: httpx.Request) -> httpx.Response:
    assert request.headers["If-Range"] == '"e"'
    rest = EXPORTED[int(request.headers["Range"].removeprefix("bytes=").removesuffix("-")) :]

    async def part() -> AsyncIterator[bytes]:
        yield rest

    return of_export(206, part(), len(rest), request)


def of_export(status: int, content: AsyncIterator[bytes], length: int, request: httpx.Request) -> httpx.Response:
    headers = {"Content-Length": str(length), "ETag": '"e"'}
    return httpx.Response(status, content=content, headers=headers, request=request)


EXPORTED = b"# as_of_position: 7\r\norder_id\r\n"


async def test_an_export_is_started_followed_and_downloaded(shop: Shop, client: AsyncClient) -> None:
    pen = await shop.sells()
    order = await client.place_order(1, [Item(pen.id, 1)])
    await client.place_order(2, [Item(pen.id, 1)])
    job_id = await client.start_export("orders", format="ndjson", user_id=1)
    with pytest.raises(RefusedByRules, match="export_not_ready"):
        await anext(client.download_export(job_id))
    await work(shop)
    assert (await client.job(job_id)).status == "COMPLETED"
    content = b"".join([part async for part in client.download_export(job_id)])
    assert [json.loads(line).get("order_id") for line in content.splitlines()] == [None, str(order.order_id)]


async def test_a_shop_for_trials_is_emptied() -> None:
    shop = Shop(allow_reset=True)
    await shop.order((await shop.sells(), 1))
    async with AsyncClient("http://shop.example", transport=Network(app_over(shop.use_cases))) as client:
        with pytest.raises(Invalid, match="reset_not_confirmed"):
            await client.reset_shop("another")
        assert await client.reset_shop("holdfast") == 1
    assert shop.store.orders == {}


async def test_a_download_that_broke_off_goes_on_where_it_was(network: Network, client: AsyncClient) -> None:
    network.faults += [lose_the_request, break_off(5), lose_the_request, go_on]
    assert b"".join([part async for part in client.download_export(uuid4())]) == EXPORTED
    assert network.requests == 4


async def test_an_import_is_started_followed_and_its_results_are_downloaded(shop: Shop, client: AsyncClient) -> None:
    content = b'{"sku": "INK", "name": "Ink", "price": 300, "currency": "EUR"}\n{"sku": "LONE"}\n'
    job_id = await client.start_import("products", content, on_error="skip", key="april")
    assert await client.start_import("products", content, on_error="skip", key="april") == job_id
    assert not (await client.imported(job_id)).is_finished
    await work(shop)
    found = await client.imported(job_id)
    assert (found.status, found.applied, found.rows, found.outcomes) == ("COMPLETED", True, 2, {"added": 1, "bad": 1})
    results = b"".join([part async for part in client.download_results(job_id)])
    assert [json.loads(line)["outcome"] for line in results.splitlines()] == ["added", "bad"]


async def test_orders_are_counted_cancelled_once_followed_and_told_of(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    pen = await shop.sells(stock=200)
    placed = [await shop.order((pen, 1)) for _ in range(101)]
    await shop.order((pen, 1), user_id=2)
    only = {"user_id": 1, "status": ["PENDING"], "placed_before": NOW + timedelta(days=1)}
    network.faults += [lose_the_answer]
    seen = await client.count_bulk("cancel", orders=only)
    assert (seen.count, seen.more, len(seen.digest)) == (101, False, 32)
    with pytest.raises(RefusedByRules, match="count_not_confirmed"):
        await client.start_bulk("cancel", orders=only, reason="a wrong price")
    with pytest.raises(Invalid, match="invalid_decision"):
        await client.start_bulk("cancel", orders=only, seen=seen)
    network.faults += [lose_the_request, lose_the_answer, lose_the_answer]
    job_id = await client.start_bulk("cancel", orders=only, reason="a wrong price", seen=seen)
    assert list(shop.store.jobs) == [job_id]
    with pytest.raises(NotFound, match="unknown_bulk_operation"):
        await anext(client.bulk_results(job_id))
    looks = client.follow_bulk(job_id, every=0.001)
    waiting = await anext(looks)
    assert (waiting.status, waiting.count, waiting.done, waiting.is_finished) == ("AVAILABLE", 101, 0, False)
    await work(shop)
    [*_, ended] = [look async for look in looks]
    assert (ended.status, ended.done, ended.failed, ended.is_finished) == ("COMPLETED", 101, 0, True)
    results = [result async for result in client.bulk_results(job_id)]
    assert {result.id for result in results} == {order.id for order in placed}
    assert {(result.outcome, result.reason) for result in results} == {("done", "")}
    assert [operation async for operation in client.bulk_operations()] == [ended]
    assert (await client.bulk_operation_page(limit=1)).items == [ended]


async def test_dead_letters_are_discarded_in_bulk_and_a_bulk_operation_is_stopped(
    shop: Shop, client: AsyncClient
) -> None:
    await set_aside(shop, b"1", b"2")
    job_id = await client.start_bulk("discard", letters={"queue": "payments"}, reason="a test", key="monday")
    assert await client.start_bulk("discard", letters={"queue": "payments"}, reason="a test", key="monday") == job_id
    with pytest.raises(Invalid, match="idempotency_key_reused"):
        await client.start_bulk("discard", reason="a test", key="monday")
    await work(shop)
    results = [result async for result in client.bulk_results(job_id)]
    assert [(result.id, result.outcome) for result in results] == [(1, "done"), (2, "done")]
    order = await shop.order((await shop.sells(), 1))
    another = await client.start_bulk("retry", orders={"ids": [order.id]})
    assert (await client.stop_bulk(another)).status == "CANCELLED"
    assert (await client.bulk_operation(another)).is_finished


def test_the_client_that_waits_reads_bulk_operations_alike() -> None:
    operation = {
        "job_id": str(UUID(int=1)),
        "act": "discard",
        "status": "COMPLETED",
        "count": 2,
        "error": None,
        **dict.fromkeys(("done", "failed", "skipped", "open", "in_flight"), 0),
        "stopped": "",
        "created_at": NOW.isoformat(),
        "finished_at": NOW.isoformat(),
    }
    lines = b'{"id": 7, "outcome": "done", "reason": ""}\n{"id": 8, "outcome": "failed", "reason": "why"}\n'

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/results"):
            parts = iter([lines[:20], lines[20:]])
            return httpx.Response(200, content=parts, headers={"Content-Length": str(len(lines))})
        return httpx.Response(
            200, json={"items": [operation], "next": None} if "limit" in request.url.params else operation
        )

    with Client("http://shop.example", transport=httpx.MockTransport(answer)) as shop:
        job_id = shop.start_bulk("discard", reason="x")
        assert [look.status for look in shop.follow_bulk(job_id)] == ["COMPLETED"]
        assert [each.job_id for each in shop.bulk_operations()] == [job_id]
        assert [(each.id, each.reason) for each in shop.bulk_results(job_id)] == [(7, ""), (8, "why")]


async def test_an_export_that_was_replaced_is_not_put_together(network: Network, client: AsyncClient) -> None:
    network.faults += [break_off(5), break_off(9)]
    with pytest.raises(UnexpectedAnswer, match="5 bytes"):
        [part async for part in client.download_export(uuid4())]


async def test_webhooks_from_the_first_endpoint_to_what_it_missed(
    shop: Shop, network: Network, client: AsyncClient
) -> None:
    webhooks = Webhooks(shop)
    made = await client.add_webhook_endpoint(URL, ["order.*"], description="the warehouse", rate_per_s=9)
    id_ = made.endpoint.endpoint_id
    assert (made.endpoint.description, made.endpoint.raw["rate_per_s"]) == ("the warehouse", 9)
    assert made.secret not in repr(made)
    assert await client.webhook_endpoint(id_) == made.endpoint
    assert [each.endpoint_id async for each in client.webhook_endpoints()] == [id_]
    assert list(await client.webhook_endpoint_page(limit=1)) == [made.endpoint]
    assert (await client.test_webhook_endpoint(id_)).status == 200
    [ping] = webhooks.received()
    assert verify_webhook(ping.body, ping.headers, made.secret, now=NOW.timestamp())

    webhooks.answers[URL] = lambda request: BROKEN if b"order.paid" in request.body else OK
    [order] = await webhooks.orders()
    await webhooks.send()
    [missed] = [each async for each in client.undelivered()]
    assert (missed.order_id, missed.type, missed.status, missed.attempts) == (order.id, "order.paid", "RETRYING", 1)
    assert [each async for each in client.undelivered(reason="exhausted")] == []
    assert [each.status for each in (await client.delivery(missed.delivery_id)).attempted] == [500]
    assert len((await client.delivery_page(id_, status="DELIVERED", order_id=order.id)).items) == 3

    del webhooks.answers[URL]
    assert (await client.resend_delivery(missed.delivery_id)).status in {"PENDING", "RETRYING"}
    await webhooks.send()
    assert (await client.delivery(missed.delivery_id)).status == "DELIVERED"

    assert await client.webhook_keys() == []
    changed = await client.change_webhook_endpoint(id_, events=["*"], enabled=False)
    assert (changed.events, changed.enabled, changed.disabled_because) == (("*",), False, "by_hand")
    assert (await client.enable_webhook_endpoint(id_, resume_from="where_it_stopped")).enabled
    rotated = await client.rotate_webhook_secret(id_, previous_valid_for=timedelta(hours=36))
    [secret, before] = shop.store.webhook_endpoints[id_].secrets
    assert (secret.text, before.until) == (rotated.secret, NOW + timedelta(hours=36))
    network.faults += [lose_the_answer]
    job = await client.recover_webhooks(id_, NOW - timedelta(days=1), types=["order.paid"])
    assert list(shop.store.jobs) == [job]
    await client.delete_webhook_endpoint(id_)
    with pytest.raises(NotFound):
        await client.webhook_endpoint(id_)


def test_the_two_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)
