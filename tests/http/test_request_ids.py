"""Each answer names its request, in the words of the client if they can be taken. So does the log."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence

import pytest
import structlog
from attrs import evolve

from application.access.guarded import for_anybody
from application.access.principal import Principal
from application.assembly.use_cases import UseCases
from application.execution.batching import Batched
from domain.errors import DomainError, UnknownOrder
from domain.ids import OrderId
from domain.orders.order import Order
from entrypoints.logs import configure_logging
from entrypoints.settings import Settings
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

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
