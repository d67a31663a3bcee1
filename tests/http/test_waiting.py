"""Waiting for a version of an order."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from attrs import define

from application.access.principal import ANYBODY, SYSTEM, Principal, Unauthenticated
from application.access.scopes import CUSTOMER_SCOPES
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.use_cases import UseCases
from application.orders.await_version import MOST_OF_A_CUSTOMER
from domain.ids import UserId
from domain.orders.order import Order
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop

PATIENCE = 30


@pytest.fixture
async def order(shop: Shop) -> Order:
    return await shop.order((await shop.sells(), 1))


async def while_waiting(use_cases: UseCases, ask: Awaitable[Answer], do: Callable[[], Awaitable[object]]) -> Answer:
    """Do something while the request waits, and return its answer."""
    async with asyncio.timeout(PATIENCE):
        answer = asyncio.ensure_future(ask)
        while not use_cases.waiting:  # noqa: ASYNC110 - it waits inside
            await asyncio.sleep(0)
        await do()
        return await answer


async def nothing() -> None:
    """The order stays as it is."""


async def test_the_answer_comes_with_the_version(shop: Shop, browser: Browser, order: Order) -> None:
    ask = browser.get(f"/orders/{order.id}?wait=10&min_version={order.version + 1}")
    answer = await while_waiting(shop.use_cases, ask, lambda: shop.use_cases.request_payment(SYSTEM, order.id))
    assert (answer.status, answer.body["status"]) == (200, "PROCESSING")
    assert answer.headers["ETag"] == f'"v{order.version + 1}"'
    assert shop.use_cases.waiting == 0


async def test_parts_are_read_after_the_wait(shop: Shop, browser: Browser, order: Order) -> None:
    ask = browser.get(f"/orders/{order.id}?wait=10&min_version={order.version + 1}&expand=events")
    answer = await while_waiting(shop.use_cases, ask, lambda: shop.use_cases.request_payment(SYSTEM, order.id))
    assert [event["type"] for event in answer.body["events"]][-1] == "order.payment_requested"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("tag", "status"), [('"v1"', 304), ('"v7"', 200)])
async def test_when_the_time_is_up_the_order_is_returned_as_it_is(
    browser: Browser, order: Order, method: str, tag: str, status: int
) -> None:
    address = f"/orders/{order.id}?wait=0.05&min_version=2"
    answer = await browser.send(method, address, more=[("If-None-Match", tag)])
    assert (answer.status, answer.headers["ETag"]) == (status, '"v1"')


async def test_a_version_that_is_there_is_not_waited_for(shop: Shop, browser: Browser, order: Order) -> None:
    shop.use_cases.stop_waiting()
    assert (await browser.get(f"/orders/{order.id}?wait=10&min_version=1")).status == 200


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ("wait=10.1&min_version=2", ["wait"]),
        ("wait=-1&min_version=2", ["wait"]),
        ("wait=inf&min_version=2", ["wait"]),
        ("wait=1&min_version=0", ["min_version"]),
        ("wait=1", ["min_version"]),
        ("min_version=2", ["wait"]),
        ("wait=1&expand=events", ["min_version"]),
    ],
)
async def test_what_can_not_be_waited_for_is_refused(
    browser: Browser, order: Order, asked: str, wrong: list[str]
) -> None:
    answer = await browser.get(f"/orders/{order.id}?{asked}")
    assert (answer.status, answer.code, answer.wrong) == (422, "invalid_request", wrong)


async def test_nobody_waits_for_the_order_of_another(shop: Shop, order: Order) -> None:
    async def stranger(_: object) -> Principal:
        return Principal("another", user_id=UserId(2), scopes=CUSTOMER_SCOPES)

    browser = Browser(app_over(shop.use_cases, authenticate=stranger))
    answer = await browser.get(f"/orders/{order.id}?wait=10&min_version=2")
    assert (answer.status, answer.code) == (404, "unknown_order")


async def test_the_wait_ends_when_the_service_stops(shop: Shop, browser: Browser, order: Order) -> None:
    async def stop() -> None:
        shop.use_cases.stop_waiting()

    answer = await while_waiting(shop.use_cases, browser.get(f"/orders/{order.id}?wait=10&min_version=2"), stop)
    assert (answer.status, answer.body["version"]) == (200, 1)


async def test_more_than_may_wait_are_told_to_come_again(shop: Shop, order: Order) -> None:
    use_cases = assemble(shop.ports, Limits(followers_max=1))
    browser = Browser(app_over(use_cases))
    address = f"/orders/{order.id}?wait=10&min_version=2"

    async def ask_too() -> None:
        assert (await browser.get(address)).code == "overloaded"
        use_cases.stop_waiting()

    assert (await while_waiting(use_cases, browser.get(address), ask_too)).status == 200


async def test_one_customer_does_not_take_the_places_of_all_others(shop: Shop, order: Order) -> None:
    callers = [Principal("a key", user_id=order.user_id, scopes=CUSTOMER_SCOPES)] * MOST_OF_A_CUSTOMER
    address = f"/orders/{order.id}?wait=10&min_version=2"

    async def next_caller(_: object) -> Principal:
        return callers[0] if callers else ANYBODY

    browser = Browser(app_over(shop.use_cases, authenticate=next_caller))
    async with asyncio.timeout(PATIENCE):
        waiting = [asyncio.ensure_future(browser.get(address)) for _ in callers]
        while shop.use_cases.waiting < MOST_OF_A_CUSTOMER:  # noqa: ASYNC110 - they wait inside
            await asyncio.sleep(0)
        assert (await browser.get(address)).code == "overloaded"
        callers.clear()
        waiting.append(asyncio.ensure_future(browser.get(address)))
        while shop.use_cases.waiting <= MOST_OF_A_CUSTOMER:  # noqa: ASYNC110 - it waits inside
            await asyncio.sleep(0)
        shop.use_cases.stop_waiting()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}


@define
class Door:
    open: bool = True

    async def __call__(self, _: object) -> Principal:
        if not self.open:
            raise Unauthenticated("the key was revoked")
        return ANYBODY

    async def shut(self) -> None:
        self.open = False


@pytest.mark.parametrize("address", ["/orders/{order}?wait=0.3&min_version=2", "/events?after={newest}&wait=0.3"])
async def test_a_key_that_is_revoked_meanwhile_gets_no_answer(shop: Shop, order: Order, address: str) -> None:
    door = Door()
    browser = Browser(app_over(shop.use_cases, authenticate=door))
    newest = (await browser.get("/events")).body["next"]
    asked = address.format(order=order.id, newest=newest)
    answer = await while_waiting(shop.use_cases, browser.get(asked), door.shut)
    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize("name", ["If-None-Match", "If-Match"])
async def test_the_tag_of_an_order_with_parts_is_of_the_parts_and_of_the_version(
    browser: Browser, order: Order, name: str
) -> None:
    address = f"/orders/{order.id}"
    tags = [(await browser.get(address + query)).headers["ETag"] for query in ("", "?expand=events", "?expand=refunds")]
    assert len({*tags}) == 3
    read = [(await browser.send("GET", f"{address}?expand=events", more=[(name, tag)])).status for tag in tags]
    assert read == ([200, 304, 200] if name == "If-None-Match" else [200, 200, 200])
    changes = b'{"note": "Ring twice"}'
    changed = [(await browser.send("PATCH", address, changes, more=[(name, tag)])).status for tag in tags]
    assert changed == ([412, 412, 412] if name == "If-None-Match" else [200, 412, 412])
