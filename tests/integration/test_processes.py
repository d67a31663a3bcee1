"""`holdfast up` with several processes, in the background, and `holdfast stop`."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from entrypoints.processes.folder import Folder
from tests.service import Service, until


@pytest.fixture
def on_postgres(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Service]:
    """PostgreSQL and nothing else, not migrated and not started."""
    service = Service(folder=tmp_path, settings={"DATABASE_URL": new_database()})
    yield service
    for pid in Folder(service.data).running().values():
        os.kill(pid, signal.SIGKILL)


async def test_several_processes_in_the_background_take_orders_and_stop(
    on_postgres: Service, client: aiohttp.ClientSession
) -> None:
    folder = Folder(on_postgres.data)
    said = await asyncio.to_thread(on_postgres.run, "up", "--api", "2", "--daemon", seconds=120)
    assert f"Holdfast listens on {on_postgres.url} " in said
    pids = folder.running()
    assert pids.keys() == {"up", "api-1", "api-2", "worker-1"}
    product = await asyncio.to_thread(on_postgres.add_product, stock=5)

    async def paid(order_id: str) -> bool:
        async with client.get(f"{on_postgres.url}/orders/{order_id}") as answer:
            assert answer.status == httpx.codes.OK
            return bool((await answer.json())["status"] == "PAID")

    async def place() -> str:
        body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
        async with client.post(f"{on_postgres.url}/orders", json=body) as answer:
            assert answer.status == httpx.codes.CREATED, await answer.text()
            order_id = str((await answer.json())["order_id"])
        async with client.post(f"{on_postgres.url}/orders/{order_id}/pay") as answer:
            assert answer.status == httpx.codes.ACCEPTED, await answer.text()
        return order_id

    for order_id in [await place() for _ in range(3)]:
        await until(lambda order_id=order_id: paid(order_id), seconds=60, what="the worker has charged")

    status = json.loads(await asyncio.to_thread(on_postgres.run, "status", "--json"))
    assert {each["name"]: each["pid"] for each in status["here"]} == pids
    assert status["missing"] == []
    again, refused = await asyncio.to_thread(on_postgres.try_to_run, "up", "--daemon", seconds=60)
    assert (again, "another `holdfast up` uses" in refused) == (1, True)

    await asyncio.to_thread(on_postgres.run, "stop", seconds=60)
    # Each of them was waited for by the one that started it.
    for name in pids.keys() - {"up"}:
        with pytest.raises(ProcessLookupError):
            os.kill(pids[name], 0)
    assert folder.running() == {}
    logs = {name: folder.log_file(name).read_text() for name in pids}
    assert "Traceback" not in "".join(logs.values())
    assert (await asyncio.to_thread(on_postgres.try_to_run, "stop"))[0] == 1
