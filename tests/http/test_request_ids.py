"""Each answer names its request, in the words of the client if they can be taken. So do events and the log."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import structlog
from attrs import evolve
from structlog.testing import capture_logs

from adapters.memory.unit_of_work import MemoryUnitOfWork
from application.access.guarded import for_anybody
from application.access.principal import Principal
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.use_cases import UseCases
from application.errors import Unavailable
from application.execution.batching import Batched
from application.messaging.consumer import Handled
from application.messaging.subscriptions import PAYMENTS
from application.ports.messaging import Delivery
from domain.errors import DomainError, UnknownOrder
from domain.ids import OrderId
from domain.orders.events import PaymentRequested, RefundRequested
from domain.orders.order import Order
from entrypoints.logs import configure_logging
from entrypoints.order_log import log_changes, log_relayed
from entrypoints.programs.worker import _tell
from entrypoints.settings import Settings
from tests.http.browser import Browser, app_over
from tests.unit.builders import NOW, PAYMENT, euros
from tests.unit.intakes import Intakes
from tests.unit.shop import EXPIRY, Shop

ORDER = {"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]}
ADDRESS = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("sent", ["a", "monday-7", "A_b-9" * 12 + "four"])
@pytest.mark.parametrize("path", ["/health/live", ADDRESS, "/nowhere", "/orders?limit=x"])
async def test_the_id_of_the_client_is_taken(browser: Browser, path: str, sent: str) -> None:
    answer = await browser.send("GET", path, more=[("Request-Id", sent)])
    assert answer.headers.getlist("Request-Id") == [sent]
    if answer.status >= 400:
        assert answer.body["request_id"] == sent


@pytest.mark.parametrize("sent", ["", " ", "a b", "a,b", "a.b", "a" * 65, "caf\u00e9", "<script>"])
async def test_an_id_that_could_be_anything_is_not_taken(browser: Browser, sent: str) -> None:
    answer = await browser.send("GET", ADDRESS, more=[("Request-Id", sent)])
    assert answer.headers["Request-Id"] != sent
    assert answer.status == 404


async def test_a_request_without_an_id_gets_one_of_its_own(browser: Browser) -> None:
    answers = await asyncio.gather(*(browser.get("/health/live") for _ in range(100)))
    assert len({answer.headers["Request-Id"] for answer in answers}) == 100


async def test_an_answer_without_a_body_has_one(shop: Shop, browser: Browser) -> None:
    order = await shop.order((await shop.sells(), 1))
    answers = [
        await browser.send("GET", f"/orders/{order.id}", more=[("If-None-Match", '"v1"'), ("Request-Id", "read")]),
        await browser.send("DELETE", f"/orders/{order.id}", more=[("Request-Id", "gone")]),
    ]
    assert [(answer.status, answer.headers["Request-Id"]) for answer in answers] == [(304, "read"), (204, "gone")]


@pytest.mark.usefixtures("logging_as_it_was")
async def test_a_line_of_the_log_names_the_request_that_caused_it(
    use_cases: UseCases, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format="json"))

    async def get_and_tell(by: Principal, order_id: OrderId) -> Order:
        await asyncio.sleep(0)
        logging.getLogger("holdfast.test").info("asked")
        return await use_cases.get_order(by, order_id)

    browser = Browser(app_over(evolve(use_cases, get_order=get_and_tell)))
    async with asyncio.timeout(30):
        await asyncio.gather(*(browser.send("GET", ADDRESS, more=[("Request-Id", f"r{n}")]) for n in range(5)))
    logging.getLogger("holdfast.test").info("of no request")
    *lines, last = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sorted(line["request_id"] for line in lines if line["event"] == "asked") == [f"r{n}" for n in range(5)]
    assert "request_id" not in last


@pytest.mark.usefixtures("logging_as_it_was")
async def test_what_a_batch_does_is_logged_with_all_requests_in_it(
    use_cases: UseCases, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format="json"))

    async def get_many(ids: Sequence[OrderId]) -> Sequence[Order | DomainError]:
        logging.getLogger("holdfast.test").info("in one transaction")
        return [UnknownOrder(str(id_)) for id_ in ids]

    browser = Browser(app_over(evolve(use_cases, get_order=for_anybody(Batched(get_many)))))
    async with asyncio.timeout(30):
        await asyncio.gather(*(browser.send("GET", ADDRESS, more=[("Request-Id", f"r{n}")]) for n in range(3)))
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["request_ids"] == "r0, r1, r2"


async def ask(browser: Browser, request_id: str, method: str, path: str, body: object = None) -> Any:
    text = b"" if body is None else json.dumps(body).encode()
    answer = await browser.send(method, path, text, more=[("Request-Id", request_id)])
    assert answer.status < 300, answer
    return answer


async def causes(shop: Shop, browser: Browser) -> list[tuple[str, str | None]]:
    """Each event of the feed, and the request that it names."""
    await shop.use_cases.give_positions()
    items = (await browser.get("/events?after=0")).body["items"]
    return [(item["type"].removeprefix("order."), item.get("request_id")) for item in items]


async def work(shop: Shop) -> None:
    """Let the worker do what the events of now ask for."""
    events = list(shop.store.events.values())
    await shop.process_payment([event for event in events if isinstance(event, PaymentRequested)])
    await shop.refund_order([event for event in events if isinstance(event, RefundRequested)])


async def test_each_event_names_the_request_that_caused_it_also_those_of_the_worker(
    shop: Shop, browser: Browser
) -> None:
    await shop.sells()
    order_id = (await ask(browser, "asked", "POST", "/orders", ORDER)).body["order_id"]
    path = f"/orders/{order_id}"
    await ask(browser, "noted", "PATCH", path, {"note": "ring"})
    await ask(browser, "paying", "POST", f"{path}/pay")
    await work(shop)
    await ask(browser, "delivered", "PATCH", f"{path}/status", {"status": "COMPLETED"})
    await ask(browser, "returned", "PATCH", f"{path}/status", {"status": "REFUNDED"})
    await work(shop)
    known = [
        ("placed", "asked"),
        ("details_changed", "noted"),
        ("payment_requested", "paying"),
        ("stock_reserved", "paying"),
        ("paid", "paying"),
        ("completed", "delivered"),
        ("refund_requested", "returned"),
        ("refunded", "returned"),
    ]
    assert await causes(shop, browser) == known
    history = (await browser.get(f"{path}/events")).body["items"]
    assert [event["request_id"] for event in history] == [request_id for _, request_id in known]


async def test_an_event_that_no_request_caused_names_none(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    await ask(browser, "asked", "POST", "/orders", ORDER)
    await shop.is_open_for(2 * EXPIRY)
    assert await causes(shop, browser) == [("placed", "asked"), ("expired", None)]


async def test_orders_that_share_a_transaction_name_each_its_own_request(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=50)
    ids = [f"r{n}" for n in range(20)]
    paid = {**ORDER, "pay": True}
    placed = await asyncio.gather(*(ask(browser, id_, "POST", "/orders", paid) for id_ in ids))
    shop.provider.declines = True
    await work(shop)
    for id_, answer in zip(ids, placed, strict=True):
        history = (await browser.get(f"{answer.headers['Location']}/events")).body["items"]
        assert [event["request_id"] for event in history] == [id_] * len(history) == [id_] * 4


async def test_a_queued_order_and_a_change_that_waits_for_it_keep_their_requests(shop: Shop) -> None:
    intakes = Intakes(shop)
    await shop.sells()
    await intakes.learn_prices()
    browser = Browser(app_over(intakes.queued))
    address = (await ask(browser, "asked", "POST", "/orders", ORDER)).headers["Location"]
    await ask(browser, "noted", "PATCH", address, {"note": "ring"})
    await ask(browser, "paying", "POST", f"{address}/pay")
    await intakes.work_off()
    async with asyncio.timeout(60):
        while len(await causes(shop, browser)) < 3:
            await intakes.queued.run_jobs()
    assert await causes(shop, browser) == [
        ("placed", "asked"),
        ("details_changed", "noted"),
        ("payment_requested", "paying"),
    ]


@pytest.mark.usefixtures("logging_as_it_was")
async def test_relay_and_worker_name_the_request_in_their_lines_of_the_log(
    shop: Shop, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format="json", log_level="debug"))
    logs = {"relay_log": log_relayed, "order_log": log_changes}
    use_cases = assemble(evolve(shop.ports, unit_of_work=partial(MemoryUnitOfWork, shop.store), **logs), Limits())
    await shop.sells()
    await ask(browser, "asked", "POST", "/orders", {**ORDER, "pay": True})
    capsys.readouterr()
    await use_cases.relay_events()
    await use_cases.relay_events.stop()
    shop.provider.declines = True
    [payments] = [consumer for consumer in use_cases.consumers if consumer.work is PAYMENTS]
    async with asyncio.timeout(60):
        await payments.step()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    relayed = [line["type"] for line in lines if line["event"] == "event relayed"]
    assert relayed == ["order.placed", "order.payment_requested"]
    assert [line["reason"] for line in lines if line["event"] == "order failed"] == ["payment_declined"]
    assert {line["request_id"] for line in lines if "order_id" in line} == {"asked"}


@pytest.mark.parametrize("outcome", [Unavailable("the provider is gone"), UnknownOrder("there is no order")])
def test_a_delivery_that_fails_is_told_with_its_request(outcome: Exception) -> None:
    event = PaymentRequested(
        order_id=OrderId(UUID(int=7)), sequence=2, at=NOW, request_id="paying", payment_id=PAYMENT, amount=euros(1)
    )
    delivery = Delivery(event, 1, None)
    failed = ((delivery, outcome),)
    is_retried = isinstance(outcome, Unavailable)
    with capture_logs() as logged:
        _tell(Handled(0, retried=failed if is_retried else (), dead_lettered=() if is_retried else failed))
    [line] = [line for line in logged if "order_id" in line]
    assert (line["request_id"], line["queue"], line["sequence"], line["attempt"]) == ("paying", "payments", 2, 1)
