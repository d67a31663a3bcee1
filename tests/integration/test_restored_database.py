"""PostgreSQL is restored from a backup: what Redis knows from afterwards is not read any more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from attrs import define

from tests.service import Service, until


@define(eq=False)
class Backup:
    """A copy of the service's database, on the same server."""

    _admin: Any
    _database: str
    _copy: str = ""

    async def take(self) -> None:
        """Nobody may be connected to the database."""
        self._copy = f"{self._database}_backup"
        await self._admin.execute(f"CREATE DATABASE {self._copy} TEMPLATE {self._database}")

    async def restore(self) -> None:
        """As `pg_restore --create --clean`: whoever is connected is thrown out."""
        await self._admin.execute(f"DROP DATABASE {self._database} WITH (FORCE)")
        await self._admin.execute(f"CREATE DATABASE {self._database} TEMPLATE {self._copy}")

    async def remove(self) -> None:
        if self._copy:
            await self._admin.execute(f"DROP DATABASE IF EXISTS {self._copy} WITH (FORCE)")


@pytest.fixture
async def backup(on_servers: Service, new_database: Callable[[], str]) -> AsyncIterator[Backup]:
    admin = await asyncpg.connect(new_database(), timeout=30)
    backup = Backup(admin, urlsplit(on_servers.settings["DATABASE_URL"]).path.strip("/"))
    yield backup
    await backup.remove()
    await admin.close()


MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()


async def start(service: Service) -> None:
    await asyncio.to_thread(service.start_all, ["api", "worker"])


async def place(client: aiohttp.ClientSession, service: Service, product: int, *, key: str = "") -> str:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
    headers = {"Idempotency-Key": key} if key else {}
    async with client.post(f"{service.url}/orders", json=body, headers=headers) as response:
        assert response.status == 201, await response.text()
        return str((await response.json())["order_id"])


async def status(client: aiohttp.ClientSession, service: Service, order: str) -> str | int:
    async with client.get(f"{service.url}/orders/{order}") as response:
        return str((await response.json())["status"]) if response.status == 200 else response.status


async def cancel(client: aiohttp.ClientSession, service: Service, order: str) -> None:
    async with client.patch(f"{service.url}/orders/{order}/status", json={"status": "CANCELLED"}) as response:
        assert response.status == 200, await response.text()


async def the_products(client: aiohttp.ClientSession, service: Service) -> int:
    async with client.get(f"{service.url}/products") as response:
        return len((await response.json())["items"]) if response.status == 200 else -1


@pytest.mark.parametrize("meanwhile", ["the API runs", "the API is stopped"])
async def test_after_a_restore_only_what_is_in_the_backup_is_read(
    on_servers: Service, client: aiohttp.ClientSession, backup: Backup, meanwhile: str
) -> None:
    product = await asyncio.to_thread(on_servers.add_product, stock=10)
    await start(on_servers)
    kept = await place(client, on_servers, product)
    await asyncio.to_thread(on_servers.stop)
    await backup.take()

    await start(on_servers)
    await cancel(client, on_servers, kept)
    lost = await place(client, on_servers, product)
    await asyncio.to_thread(on_servers.add_product, stock=10, name="Ink")
    assert [await status(client, on_servers, order) for order in (kept, lost)] == ["CANCELLED", "PENDING"]
    assert await the_products(client, on_servers) == 2

    async def is_as_in_the_backup() -> bool:
        read = [await status(client, on_servers, order) for order in (kept, lost)]
        return read == ["PENDING", 404] and await the_products(client, on_servers) == 1

    if meanwhile == "the API runs":
        await backup.restore()
        await until(is_as_in_the_backup, seconds=30, what="the backup is read")
    else:
        await asyncio.to_thread(on_servers.stop)
        await backup.restore()
        await asyncio.to_thread(on_servers.run, "restored", "--since", MIDNIGHT)
        await start(on_servers)
        assert await is_as_in_the_backup()
    # The restored order goes on from its restored version.
    await cancel(client, on_servers, kept)
    assert await status(client, on_servers, kept) == "CANCELLED"


async def test_an_order_that_was_paid_since_the_backup_is_charged_once(
    on_servers: Service, client: aiohttp.ClientSession, backup: Backup
) -> None:
    product = await asyncio.to_thread(on_servers.add_product, stock=10)
    programs = ["api", "worker", "relay"]
    await asyncio.to_thread(on_servers.start_all, programs)
    order = await place(client, on_servers, product, key="to place")
    await asyncio.to_thread(on_servers.stop)
    await backup.take()
    await asyncio.to_thread(on_servers.start_all, programs)
    lost = await place(client, on_servers, product, key="to place more")
    for each in (order, lost):
        await pay(client, on_servers, each)
        await until(partial(has_status, client, on_servers, each, "PAID"), seconds=60, what="it is paid")
    await asyncio.to_thread(on_servers.stop)
    await backup.restore()

    for program in programs:
        exit_status, refused = await asyncio.to_thread(on_servers.try_to_run, program)
        assert (exit_status, "holdfast restored --since TIME" in refused) == (1, True), refused
    told = await asyncio.to_thread(on_servers.run, "restored", "--since", MIDNIGHT)
    assert f"order {order}: 1250 minor units of EUR" in told
    assert "it is PAID again" in told
    assert "its order is lost, unless its customer places it again under its key" in told
    assert "1 charges recorded again, 1 left" in told

    await asyncio.to_thread(on_servers.start_all, programs)
    assert await status(client, on_servers, order) == "PAID"
    # Everybody asks for everything again.
    assert await place(client, on_servers, product, key="to place") == order
    assert await place(client, on_servers, product, key="to place more") == lost
    for each in (order, lost):
        await pay(client, on_servers, each)
        await until(partial(has_status, client, on_servers, each, "PAID"), seconds=60, what="it is paid")
    assert await on_servers.findings() == []


async def pay(client: aiohttp.ClientSession, service: Service, order: str) -> None:
    async with client.post(f"{service.url}/orders/{order}/pay", headers={"Idempotency-Key": "to pay"}) as response:
        assert response.status in {200, 202}, await response.text()


async def has_status(client: aiohttp.ClientSession, service: Service, order: str, wanted: str) -> bool:
    return await status(client, service, order) == wanted
