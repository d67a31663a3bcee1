"""SIGTERM: every received request is answered, and the process ends in time, whatever hangs."""

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from tests.cables import Cable
from tests.integration.conftest import Wired
from tests.servers import Process
from tests.service import Service, until

TIMEOUT = 2.0
# What a process may need beyond its bound: two seconds to be ended by force, the rest is for a busy machine.
MARGIN = 25.0

# 0 if all work was done, 1 if something was cut off. With a silent server, that may be only the close of a connection.
STOPPED = {0, 1}
# The signals that a process handles, in its status.
_CAUGHT = re.compile(r"^SigCgt:\t(\w+)", re.MULTILINE)
TIMES = ("HOLDFAST_SHUTDOWN_TIMEOUT", "HOLDFAST_GATEWAY_DELAY", "HOLDFAST_CHARGE_TIMEOUT")


async def stopped_in_time(process: Process, *, signals: Literal[1, 2] = 1) -> int:
    """Its exit status."""

    async def handles_it() -> bool:
        status = await asyncio.to_thread(Path(f"/proc/{process.pid}/status").read_text)
        caught = int(_CAUGHT.findall(status)[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    async def has_handled_it() -> bool:
        return not process.running or not await handles_it()

    # A worker and a relay have no HTTP interface. They have started when they handle the signal.
    await until(handles_it, seconds=30, what="it has started")
    began = time.monotonic()
    process.send(signal.SIGTERM)
    if signals > 1:
        await until(has_handled_it, seconds=30, what="it has handled the first signal")
        process.send(signal.SIGTERM)
    status = await asyncio.to_thread(process.wait, seconds=30)
    assert time.monotonic() - began < TIMEOUT + MARGIN, process.tail()
    return status


async def holds_something_back(cable: Cable) -> None:
    """Wait until a process has sent something through the silent cable."""

    async def held() -> bool:
        return cable.held_back > 0

    await until(held, seconds=30, what="the cable holds something back")


@pytest.fixture
async def hurried(wired: Wired) -> AsyncIterator[Wired]:
    """Not started yet."""
    wired.service.settings["HOLDFAST_SHUTDOWN_TIMEOUT"] = f"{TIMEOUT:g}s"
    # No payment comes to its end while a test runs.
    wired.service.settings |= {"HOLDFAST_GATEWAY_DELAY": "10m", "HOLDFAST_CHARGE_TIMEOUT": "1h"}
    yield wired
    await asyncio.to_thread(wired.service.kill)


async def place(client: aiohttp.ClientSession, url: str, product: int, *, paid: bool = False) -> str:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
    async with client.post(f"{url}/orders", json=body) as response:
        assert response.status in {201, 202}
        order = str((await response.json())["order_id"])
    if paid:
        async with client.post(f"{url}/orders/{order}/pay") as response:
            assert response.status == 202
    return order


async def is_being_charged(client: aiohttp.ClientSession, url: str, product: int, order: str) -> None:
    """Wait until the worker has taken the stock: it asks for the money then."""

    async def taken() -> bool:
        async with client.get(f"{url}/orders/{order}/events") as response:
            return any(event["type"] == "order.stock_reserved" for event in (await response.json())["items"])

    await until(taken, seconds=20, what="the order is being charged")


@pytest.fixture
def service(stopped: Service) -> Service:
    return stopped


async def test_no_client_that_connects_while_it_stops_is_reset(service: Service) -> None:
    name = "api" if "AMQP_URL" in service.settings else "up"
    await asyncio.to_thread(service.start_all, [name])
    product = await asyncio.to_thread(service.add_product, stock=100_000)
    body = json.dumps({"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}).encode()
    head = (
        f"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    outcomes: Counter[str] = Counter()

    async def come_again_and_again() -> None:
        """Over a new connection each time, so that some are always on their way in."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            except (ConnectionRefusedError, ConnectionResetError):
                # The server has not accepted this connection.
                return
            try:
                writer.write(head.encode() + body)
                outcomes[(await asyncio.wait_for(reader.readline(), 60)).decode()] += 1
            except OSError as error:
                outcomes[repr(error)] += 1
            finally:
                writer.transport.abort()

    clients = [asyncio.create_task(come_again_and_again()) for _ in range(24)]

    async def has_begun() -> bool:
        return outcomes.total() > 200

    await until(has_begun, seconds=30, what="orders are taken")
    process = service.processes[name]
    process.send(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, seconds=15) == 0, process.tail()
    await asyncio.wait_for(asyncio.gather(*clients), 60)
    assert outcomes.keys() == {"HTTP/1.1 201 Created\r\n"}


async def test_an_api_whose_database_hangs_answers_every_request_and_ends(
    hurried: Wired, client: aiohttp.ClientSession
) -> None:
    service = hurried.service
    await asyncio.to_thread(service.start_all, ["api"])
    product = await asyncio.to_thread(service.add_product, stock=100)
    await place(client, service.url, product)
    hurried.cables["PostgreSQL"].silence()
    hurried.cables["PostgreSQL"].silent_from_now = True

    async def ask() -> int:
        async with client.get(f"{service.url}/orders?user_id=1") as response:
            if response.status == 503:
                assert response.headers["Retry-After"]
            return response.status

    asking = [asyncio.create_task(ask()) for _ in range(20)]
    await holds_something_back(hurried.cables["PostgreSQL"])
    assert not any(each.done() for each in asking)
    assert await stopped_in_time(service.processes["api"]) in STOPPED
    assert await asyncio.gather(*asking) == [503] * 20


@pytest.mark.parametrize("name", ["worker", "up"])
async def test_a_payment_that_hangs_holds_up_no_stop_and_goes_on_afterwards(
    hurried: Wired, embedded: Service, client: aiohttp.ClientSession, name: str
) -> None:
    service = hurried.service
    if name == "up":
        embedded.settings.update({key: hurried.service.settings[key] for key in TIMES})
        service = embedded
    await asyncio.to_thread(service.start_all, ["up"] if name == "up" else ["api", "relay", "worker"])
    product = await asyncio.to_thread(service.add_product, stock=100)
    order = await place(client, service.url, product, paid=True)
    await is_being_charged(client, service.url, product, order)

    assert await stopped_in_time(service.processes[name]) == 1
    assert "stopped before all work was finished" in service.processes[name].output()

    service.settings["HOLDFAST_GATEWAY_DELAY"] = "0s"
    del service.processes[name]
    await asyncio.to_thread(service.start, name)
    await asyncio.to_thread(service.wait_until_ready)

    async def is_paid() -> bool:
        async with client.get(f"{service.url}/orders/{order}") as response:
            return (await response.json())["status"] == "PAID"

    await until(is_paid, seconds=30, what="the order is paid for")
    assert await service.findings() == []


async def test_a_relay_whose_broker_is_silent_ends(hurried: Wired, client: aiohttp.ClientSession) -> None:
    service = hurried.service
    await asyncio.to_thread(service.start_all, ["api", "relay"])
    product = await asyncio.to_thread(service.add_product, stock=100)
    await place(client, service.url, product)
    hurried.cables["RabbitMQ"].silence()
    hurried.cables["RabbitMQ"].silent_from_now = True
    await place(client, service.url, product)
    await holds_something_back(hurried.cables["RabbitMQ"])
    assert await stopped_in_time(service.processes["relay"]) in STOPPED


@pytest.mark.parametrize("name", ["api", "relay", "worker"])
async def test_a_process_whose_servers_are_all_silent_ends(hurried: Wired, name: str) -> None:
    service, database = hurried.service, hurried.cables["PostgreSQL"]
    await asyncio.to_thread(service.start_all, ["api"])
    connections = database.connections()

    async def is_connected() -> bool:
        return database.connections() > connections

    if name != "api":
        await asyncio.to_thread(service.start, name)
        await until(is_connected, seconds=30, what="it is connected to the database")
    for cable in hurried.cables.values():
        cable.silence()
        cable.silent_from_now = True
    assert await stopped_in_time(service.processes[name]) in STOPPED


async def test_a_second_signal_ends_it_at_once(hurried: Wired, client: aiohttp.ClientSession) -> None:
    service = hurried.service
    service.settings["HOLDFAST_SHUTDOWN_TIMEOUT"] = "60s"
    await asyncio.to_thread(service.start_all, ["api", "relay", "worker"])
    product = await asyncio.to_thread(service.add_product, stock=100)
    order = await place(client, service.url, product, paid=True)
    await is_being_charged(client, service.url, product, order)
    assert await stopped_in_time(service.processes["worker"], signals=2) == -signal.SIGTERM
