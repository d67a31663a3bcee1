"""PostgreSQL is restored from a backup: what Redis knows from afterwards is not read any more."""

import asyncio
from collections.abc import AsyncIterator, Callable
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


async def start(service: Service) -> None:
    await asyncio.to_thread(service.start_all, ["api"])


async def place(client: aiohttp.ClientSession, service: Service, product: int) -> str:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
    async with client.post(f"{service.url}/orders", json=body) as response:
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
        await start(on_servers)
        assert await is_as_in_the_backup()
    # The restored order goes on from its restored version.
    await cancel(client, on_servers, kept)
    assert await status(client, on_servers, kept) == "CANCELLED"
