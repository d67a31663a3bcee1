"""Clients of the four earlier systems, with curl: the commands of their documents, in their order, at a new URL."""

import asyncio
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.http import test_from_flask_orders as flask_orders
from tests.http import test_from_messages as messages
from tests.http import test_from_replicas as replicas
from tests.http import test_from_shop as shop
from tests.service import Service, until

SETTINGS = {
    "HOLDFAST_ANCESTORS_CREATE": "on",
    "ADMIN_PASSWORD": "swordfish",
    "HOLDFAST_ALLOW_RESET": "true",
}


@frozen
class Client:
    """Runs a command of the documents, in which each `$name` stands for one of the values."""

    _program: Path
    _url: str

    async def __call__(self, command: str, **values: object) -> tuple[int, Any]:
        for name, value in values.items():
            command = command.replace(f"${name}", str(value))
        _, *arguments = shlex.split(re.sub(r"http://localhost(:\d+)?", self._url, command))
        assert self._url in " ".join(arguments)
        told = ["--silent", "--show-error", "--max-time", "120", "--write-out", "\n%{http_code}"]
        done = await asyncio.to_thread(
            subprocess.run, [self._program, *told, *arguments], capture_output=True, text=True, check=True
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)

    async def until(self, command: str, holds: Callable[[Any], object], **values: object) -> None:
        async def is_so() -> bool:
            return bool(holds((await self(command, **values))[1]))

        await until(is_so, seconds=120, what=command)


async def test_they_are_answered_embedded(migrated: Service, curl_program: Path) -> None:
    await expect_answered(migrated, curl_program, "up")


async def test_they_are_answered_on_servers(on_servers: Service, curl_program: Path) -> None:
    await expect_answered(on_servers, curl_program, "api", "worker", "relay")


async def expect_answered(service: Service, program: Path, *programs: str) -> None:
    service.settings |= SETTINGS
    await asyncio.to_thread(service.start_all, programs)
    for follow, base in (
        (follow_shop, shop.BASE),
        (follow_replicas, ""),
        (follow_replicas, "/from/replicas"),
        (follow_messages, messages.BASE),
        (follow_flask_orders, flask_orders.BASE),
    ):
        await follow(Client(program, f"{service.url}{base}"))


async def follow_shop(ask: Client) -> None:
    added = [await ask(shop.ADD, name=name, price=price, stock=10) for name, price in (("pen", 12.5), ("ink", 3))]
    assert [status for status, _ in added] == [201, 201]
    one, other = (product["id"] for _, product in added)
    assert (await ask(shop.PRODUCTS))[0] == 200
    for pay in (shop.PAY, shop.PAY_BY_HEADER, shop.PAY_BY_BODY):
        status, placed = await ask(shop.PLACE, one=one, other=other)
        assert (status, placed["status"]) == (201, "PENDING")
        order = placed["order_id"]
        # A worker that takes longer than its clients wait is told of with 202.
        status, paid = await ask(pay, order=order, key=order)
        assert (status, paid["status"]) in {(200, "PAID"), (202, "PROCESSING")}
        await ask.until(shop.GET, lambda order: order["status"] == "PAID", order=order)
    left = {product["id"]: product["stock"] for product in (await ask(shop.PRODUCTS))[1]}
    assert (left[one], left[other]) == (4, 7)
    assert await ask(shop.HEALTH) == (200, {"status": "ok"})


async def follow_replicas(ask: Client) -> None:
    status, placed = await ask(replicas.PLACE)
    assert (status, placed["status"]) == (200, "placed")
    order = placed["order_id"]
    assert (await ask(replicas.GET, order=order))[1]["status"] in {"placed", "processing", "done"}
    await ask.until(replicas.GET, lambda order: order["status"] == "done", order=order)
    assert {"order_id": order, "status": "done"} in (await ask(replicas.ALL))[1]
    assert (await ask(replicas.GET, order="01890a5d-ac96-774b-bcce-b302099a8057"))[0] == 404


async def follow_messages(ask: Client) -> None:
    status, enqueued = await ask(messages.ADD, content="Hello")
    assert (status, enqueued["message"]) == (202, "Message enqueued")
    await ask.until(messages.JOB, lambda job: job["status"] == "COMPLETED", job=enqueued["job_id"])
    status, listed = await ask(messages.LIST)
    assert (status, [message["content"] for message in listed]) == (200, ["Hello"])
    assert await ask(messages.ADD, content="") == (400, {"error": "Content is required"})


async def follow_flask_orders(ask: Client) -> None:
    status, queued = await ask(flask_orders.PLACE)
    order = queued["order_id"]
    assert (status, queued["job_type"]) == (202, "create")
    assert (await ask(flask_orders.GET, order=order))[1]["status"] == "received"
    for label in ("processing", "completed"):
        assert (await ask(flask_orders.CHANGE, order=order, status=label))[0] == 202
        assert (await ask(flask_orders.GET, order=order))[1]["status"] == label
    status, listed = await ask(flask_orders.LIST)
    assert (status, order in {each["order_id"] for each in listed["orders"]}) == (200, True)
    assert (await ask(flask_orders.DELETE, order=order))[0] == 202
    assert (await ask(flask_orders.GET, order=order))[0] == 404
    assert (await ask(flask_orders.SEED_BY_PASSWORD, password="wrong"))[0] == 401
    for command in flask_orders.BY_PASSWORD:
        assert (await ask(command, password="swordfish"))[0] in {200, 202}, command
