"""Those who call Holdfast, as they do it: the examples of the pages for them, against a running service."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.service import Service


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", Path(page).read_text(), re.DOTALL)


CLIENT: Final = blocks("clients/python/README.md", "python")
API: Final = blocks("docs/api.md", "sh")
[API_PYTHON] = blocks("docs/api.md", "python")
README: Final = Path("README.md").read_text()
SHOWN_ID: Final = "01a1fc56-2704-7535-8a34-03a29673dc7a"
ADDRESS: Final = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(folder=tmp_path_factory.mktemp("client"))
    service.run("migrate")
    service.add_product(stock=100)
    service.start("up")
    service.wait_until_ready()
    yield service
    service.stop()


def run(example: str, service: Service) -> list[str]:
    return _printed([sys.executable, "-W", "error", "-c", _at(service, example)])


def shell(lines: str, service: Service) -> list[str]:
    return _printed(["sh", "-euc", _at(service, lines)])


def _at(service: Service, example: str) -> str:
    code = example.replace(ADDRESS, service.url)
    assert code != example
    return code


def _printed(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=480, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_every_example_of_the_clients_page_runs(service: Service) -> None:
    paid, refused, followed, waited, bulk, webhooks = CLIENT
    *events, status = run(paid, service)
    assert [line.split()[1] for line in events][-1] == "order.paid"
    assert status == "PAID"
    assert run(refused, service) == ["['/items/0/quantity']", "illegal_transition", "unknown_order"]
    order, event = run(followed, service)
    assert order.split()[1] == "2500"
    assert event.split()[1] == order.split()[0]
    assert run(waited, service) == ["PAID"]
    assert run(bulk, service) == ["COMPLETED 1 of 1", "True done"]
    [registered] = run(webhooks, service)
    assert registered.split()[1].startswith("whsec_")


@pytest.mark.usefixtures("curl_program")
def test_every_example_of_the_page_about_the_api_runs(service: Service) -> None:
    # Each answer is one line without an end.
    answers: list[Any] = [
        json.loads(line) for line in shell(re.sub(r"(?m)^(curl.*)$", r"\1; echo", "".join(API)), service)
    ]
    product, order, paid, wrong, kind, again, stale, listed, found, counted, begun, events = answers
    assert product["id"] == 4711
    assert (order["status"], order["version"]) == ("PAID", 4)
    assert [(event["order_id"], event["type"]) for event in paid["items"]] == [(order["order_id"], "order.paid")]
    assert [error["pointer"] for error in wrong["errors"]] == ["/items/0/quantity"]
    assert (wrong["type"], kind["code"]) == ("/problems/invalid_request", "invalid_request")
    assert again["order_id"] == order["order_id"]
    assert stale["code"] == "precondition_failed"
    assert order["order_id"] in {each["order_id"] for each in listed["items"]}
    assert [each["order_id"] for each in found["items"]] == [order["order_id"]]
    assert (counted["count"], counted["needs_count"]) == (0, False)
    assert (begun["act"], begun["reason"], begun["count"]) == ("cancel", "a wrong price", 0)
    assert [event["position"] for event in events["items"]] == [1, 2]
    assert run(API_PYTHON, service) == ["PAID 2500 EUR", "order.paid"]


def test_from_nothing_to_a_paid_order_takes_six_lines_of_shell_and_eleven_of_python() -> None:
    lines = [[line for line in example.splitlines() if line.strip()] for example in (API[0], API_PYTHON, CLIENT[0])]
    assert [len(each) <= most for each, most in zip(lines, (6, 11, 11), strict=True)] == [True, True, True]


@pytest.mark.usefixtures("curl_program")
def test_every_request_of_the_readme_gets_what_stands_there(service: Service) -> None:
    """But for the members that the page leaves out, and for ids and times."""
    asked = re.findall(r"(?m)^    \$ (curl (?:.*\\\n)*.*)\n((?:    .*\n)+)", README)
    id_ = None
    for command, shown in asked:
        answer = shell(command.replace(SHOWN_ID, id_ or SHOWN_ID), service)
        for status in re.findall(r"HTTP/1.1 (\d+)", shown):
            assert answer[0].split()[1] == status
        body = json.loads(answer[-1])
        id_ = body.get("order_id", id_)
        for name in re.findall(r'"(\w+)":', shown):
            assert f'"{name}":' in answer[-1]
        if "/events" in command:
            types = re.findall(r'"type":"([a-z._]+)"', shown)
            assert [event["type"] for event in body["items"]] == types[: len(body["items"])]
    assert len(asked) == 3


LEFT_EARLY: Final = f"""
import asyncio
from holdfast_client import AsyncClient, Item

async def main():
    async with AsyncClient("{ADDRESS}") as shop:
        await shop.place_order(1, [Item(1, 1)])
        for _ in range(3):
            async for _ in shop.events(after=0):
                break
            await shop.newest_position()
        job_id = await shop.start_export("orders")
        while (await shop.job(job_id)).status != "COMPLETED":
            await asyncio.sleep(0.1)
        async for _ in shop.download_export(job_id):
            break
        async for _ in shop.events(after=0):
            break

for _ in range(5):
    asyncio.run(main())
"""


def test_whoever_leaves_an_iterator_early_hears_of_no_error(service: Service) -> None:
    assert run(LEFT_EARLY, service) == []
