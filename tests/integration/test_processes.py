"""`holdfast up` with several processes, in the background, and `holdfast stop`."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from entrypoints.processes.folder import Folder
from tests.service import Service, until


@pytest.fixture
def on_postgres(tmp_path: Path, new_migrated_database: Callable[[], str]) -> Iterator[Service]:
    """PostgreSQL and nothing else, and not started. It asks for a key."""
    settings = {"DATABASE_URL": new_migrated_database(), "HOLDFAST_AUTH": "required"}
    service = Service(folder=tmp_path, settings=settings)
    yield service
    for pid in Folder(service.data).running().values():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """Each request has a connection of its own, so that any of the processes may get it."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as client:
        yield client


async def test_several_processes_in_the_background_take_orders_and_stop(
    on_postgres: Service, client: aiohttp.ClientSession
) -> None:
    folder = Folder(on_postgres.data)
    made = await asyncio.to_thread(on_postgres.run, "keys", "create", "--role", "admin", "--name", "ana", seconds=120)
    [key] = [line for line in made.splitlines() if line.startswith("hf_live_admin_")]
    client.headers["Authorization"] = f"Bearer {key}"
    said = await asyncio.to_thread(on_postgres.run, "up", "--api", "3", "--daemon", seconds=120)
    assert f"Holdfast listens on {on_postgres.url} " in said
    pids = folder.running()
    assert pids.keys() == {"up", "api-1", "api-2", "api-3", "worker-1"}
    product = await asyncio.to_thread(on_postgres.add_product, stock=5)

    async def place() -> str:
        body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
        async with client.post(f"{on_postgres.url}/orders", json=body) as answer:
            assert answer.status == httpx.codes.CREATED, await answer.text()
            return str((await answer.json())["order_id"])

    async def pay(order_id: str) -> None:
        async with client.post(f"{on_postgres.url}/orders/{order_id}/pay") as answer:
            assert answer.status == httpx.codes.ACCEPTED, await answer.text()

    async def paid(order_id: str) -> bool:
        """Wait in one of the processes for what the worker does to the order."""
        async with client.get(f"{on_postgres.url}/orders/{order_id}?wait=10&min_version=4") as answer:
            assert answer.status == httpx.codes.OK
            return bool((await answer.json())["status"] == "PAID")

    order_ids = [await place() for _ in range(3)]
    waits = [asyncio.ensure_future(paid(order_id)) for order_id in order_ids for _ in range(4)]
    for order_id in order_ids:
        await pay(order_id)
    await asyncio.gather(*waits)
    for order_id in order_ids:
        await until(lambda order_id=order_id: paid(order_id), seconds=60, what="the worker has charged")

    status = json.loads(await asyncio.to_thread(on_postgres.run, "status", "--json"))
    assert {each["name"]: each["pid"] for each in status["here"]} == pids
    assert status["missing"] == []
    again, refused = await asyncio.to_thread(on_postgres.try_to_run, "up", "--daemon", seconds=60)
    assert (again, "another `holdfast up` uses" in refused) == (1, True)

    async def is_dead() -> bool:
        statuses = []
        for _ in range(20):
            async with client.get(f"{on_postgres.url}/products") as answer:
                statuses.append(answer.status)
        return set(statuses) == {httpx.codes.UNAUTHORIZED}

    # They share the database and nothing else, and nobody tells them. How long it takes, test_keys.py says.
    await asyncio.to_thread(on_postgres.run, "keys", "revoke", key.removeprefix("hf_live_admin_")[:12], seconds=60)
    await until(is_dead, seconds=60, what="the revoked key is dead in every process")

    await asyncio.to_thread(on_postgres.run, "stop", seconds=60)
    # Each of them was waited for by the one that started it.
    for name in pids.keys() - {"up"}:
        with pytest.raises(ProcessLookupError):
            os.kill(pids[name], 0)
    assert folder.running() == {}
    logs = {name: folder.log_file(name).read_text() for name in pids}
    assert "Traceback" not in "".join(logs.values())
    assert (await asyncio.to_thread(on_postgres.try_to_run, "stop"))[0] == 1
