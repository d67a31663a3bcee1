import asyncio
from typing import NoReturn

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from application.access.principal import Principal
from application.assembly.use_cases import UseCases
from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.ports.persistence import OrderConflict
from domain.ids import OrderId
from domain.orders.order import Order
from entrypoints.readiness import Readiness
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

ADDRESS = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"


def failing_with(use_cases: UseCases, error: Exception) -> Browser:
    async def get_order(_by: Principal, _: OrderId) -> NoReturn:
        raise error

    return Browser(app_over(evolve(use_cases, get_order=get_order)))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("postgresql://shop:secret@db/shop gives no answer"), "unavailable"),
        (OutcomeUnknown("no answer to the commit"), "outcome_unknown"),
        (Overloaded("10000 calls are waiting already"), "overloaded"),
        (Aborted("deadlock"), "aborted"),
        (OrderConflict("order 1 changed"), "aborted"),
        (TimeoutError("the database"), "deadline"),
    ],
)
async def test_a_temporary_problem_is_worth_a_retry(use_cases: UseCases, error: Exception, code: str) -> None:
    with capture_logs() as logs:
        answer = await failing_with(use_cases, error).get(ADDRESS)
    assert (answer.status, answer.code) == (503, code)
    assert int(answer.headers["Retry-After"]) >= 1
    assert str(error) not in str(answer.body)
    assert [(entry["event"], entry["code"]) for entry in logs] == [("request not served", code)]
    assert [entry["order_id"] for entry in logs] == [ADDRESS.rpartition("/")[2]]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unavailable("gone"), "Nothing was done"),
        (Aborted("deadlock"), "Nothing was done"),
        (Overloaded("too much"), "Nothing was done"),
        (OutcomeUnknown("no answer to the commit"), "may have been made or not"),
        (TimeoutError("the database"), "may have been made or not"),
    ],
)
async def test_a_client_is_told_whether_something_may_have_happened(
    use_cases: UseCases, error: Exception, told: str
) -> None:
    assert told in (await failing_with(use_cases, error).get(ADDRESS)).body["detail"]


async def test_an_outage_does_not_flood_the_log(use_cases: UseCases) -> None:
    browser = failing_with(use_cases, Unavailable("gone"))
    with capture_logs() as logs:
        for _ in range(20):
            assert (await browser.get(ADDRESS)).status == 503
    assert len(logs) < 20


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret"), OSError("secret"), Exception("secret")])
async def test_an_internal_error_is_written_to_the_log_alone(use_cases: UseCases, error: Exception) -> None:
    with capture_logs() as logs:
        answer = await failing_with(use_cases, error).get(ADDRESS)
    assert (answer.status, answer.code) == (500, "internal")
    assert "secret" not in str(answer.body)
    assert [(entry["event"], entry["request"], entry["exc_info"]) for entry in logs] == [
        ("request failed", f"GET {ADDRESS}", error)
    ]


async def test_an_answer_comes_within_its_deadline(use_cases: UseCases) -> None:
    async def silent(_by: Principal, _: OrderId) -> Order:
        await asyncio.Event().wait()
        raise AssertionError

    browser = Browser(app_over(evolve(use_cases, get_order=silent), request_timeout=0.05))
    async with asyncio.timeout(60):
        answer = await browser.get(ADDRESS)
    assert (answer.status, answer.code) == (503, "deadline")
    assert "Retry-After" in answer.headers


async def test_an_order_is_placed_though_its_first_transaction_was_rolled_back(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    shop.unsteady.to_come.append(Trouble(Aborted("deadlock")))
    await browser.order()
    assert len((await browser.get("/orders")).body["items"]) == 1


async def test_the_process_says_that_it_lives(browser: Browser, readiness: list[Readiness]) -> None:
    readiness.append(Readiness(orders=False, payments=False, missing=("broker", "database")))
    answer = await browser.get("/health/live")
    assert (answer.status, answer.body) == (200, {"status": "ok"})


async def test_it_is_ready_while_it_can_take_orders(browser: Browser, readiness: list[Readiness]) -> None:
    ready = await browser.get("/health/ready")
    assert (ready.status, ready.body) == (200, {"status": "ok", "orders": True, "payments": True, "missing": []})

    readiness.append(Readiness(orders=True, payments=False, missing=("worker",)))
    partly = await browser.get("/health/ready")
    named = {"orders": True, "payments": False, "missing": ["worker"]}
    assert (partly.status, partly.body) == (200, {"status": "degraded", **named})

    readiness.append(Readiness(orders=False, payments=False, missing=("database",)))
    unready = await browser.get("/health/ready")
    named = {"orders": False, "payments": False, "missing": ["database"]}
    assert (unready.status, unready.body) == (503, {"status": "unavailable", **named})
