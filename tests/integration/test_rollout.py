"""The release before works on, and can be started, beside tables and programs of the next one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex

import aiohttp
import asyncpg
import pytest
from attrs import frozen

from adapters.rabbitmq.topology import Topology
from tests.brokers import removed
from tests.releases import EXPANSION, ReleaseMissing, make_next_release, unpack_previous_release
from tests.servers.forked import ForkedHoldfast
from tests.service import Service, until

INTAKES = ("direct", "auto")


@frozen
class Fleet:
    """The programs of one release, each kind of intake with an API of its own."""

    apis: dict[str, Service]

    @classmethod
    def of(cls, code: Path, settings: dict[str, str]) -> "Fleet":
        apis = {}
        for intake in INTAKES:
            folder = code.with_name(f"{code.name}-{intake}")
            folder.mkdir()
            # All have one ledger.
            (folder / "data").symlink_to(code.with_name("data"))
            apis[intake] = Service(
                folder=folder, settings={**settings, "HOLDFAST_INTAKE": intake}, kind=partial(ForkedHoldfast, code=code)
            )
        return cls(apis)

    @property
    def command(self) -> Service:
        return self.apis["direct"]

    def start(self) -> None:
        for service in self.apis.values():
            service.start("api")
        self.command.start("worker")
        self.command.start("relay")
        for service in self.apis.values():
            service.wait_until_ready()

    def stop(self) -> None:
        for service in self.apis.values():
            assert set(service.stop(seconds=30).values()) <= {0}, service.logs()

    def kill(self) -> None:
        for service in self.apis.values():
            service.kill()


@pytest.fixture
def before(tmp_path: Path) -> Path:
    code = tmp_path / "before"
    code.mkdir()
    try:
        unpack_previous_release(code)
    except ReleaseMissing as missing:
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(f"the release before can't be tried: {missing}", pytrace=False)
        pytest.skip(f"THE RELEASE BEFORE IS MISSING, AND WAS NOT TRIED: {missing}")
    return code


@pytest.fixture
def following(tmp_path: Path) -> Path:
    """Of this release, with the migrations since the release before, and some more, so that there always are some."""
    code = tmp_path / "following"
    make_next_release(code, *EXPANSION)
    return code


@pytest.fixture
async def settings(
    tmp_path: Path, new_database: Callable[[], str], redis_url: str, amqp_url: str
) -> AsyncIterator[dict[str, str]]:
    namespace = f"test-{token_hex(6)}"
    (tmp_path / "data").mkdir()
    async with removed(amqp_url, Topology(namespace)):
        yield {
            "DATABASE_URL": new_database(),
            "REDIS_URL": redis_url,
            "AMQP_URL": amqp_url,
            "HOLDFAST_NAMESPACE": namespace,
            # One connection of each pool is enough here.
            "HOLDFAST_POOL_SIZE": "2",
        }


async def test_the_release_before_works_beside_the_next_one(
    before: Path, following: Path, settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    old, new = Fleet.of(before, settings), Fleet.of(following, settings)
    try:
        await asyncio.to_thread(old.command.run, "migrate", seconds=60)
        product = await asyncio.to_thread(old.command.add_product, stock=1000)
        await asyncio.to_thread(old.start)
        await live(client, old, product)

        # It goes on while the tables change, and can be started anew on the new ones.
        assert "applied" in await asyncio.to_thread(new.command.run, "migrate", "--expand", seconds=60)
        await live(client, old, product)
        await asyncio.to_thread(old.stop)
        await asyncio.to_thread(old.start)

        await asyncio.to_thread(new.start)
        for fleet in (old, new, old):
            await live(client, fleet, product)
        status, refused = await asyncio.to_thread(new.command.try_to_run, "migrate", "--contract", seconds=60)
        assert (status, "nothing was taken away" in refused) == (1, True), refused

        await asyncio.to_thread(old.stop)
        await until(partial(is_finished, new.command), seconds=60, what="what was left is taken away")
        await live(client, new, product)
        status, refused = await asyncio.to_thread(old.command.try_to_run, "worker", seconds=60)
        assert (status, "start the later release" in refused) == (1, True), refused
        assert await orders_without_channel(settings["DATABASE_URL"]) == 0
        assert await new.command.findings() == []
    finally:
        for fleet in (old, new):
            await asyncio.to_thread(fleet.kill)


async def is_finished(service: Service) -> bool:
    """The server needs a moment to notice that the last session of the release before has ended."""
    status, _ = await asyncio.to_thread(service.try_to_run, "migrate", "--contract", seconds=60)
    return status == 0


async def live(client: aiohttp.ClientSession, fleet: Fleet, product: int) -> None:
    """An order is placed and paid for at each API, by whatever worker and relay there is."""
    for intake, api in fleet.apis.items():
        order = {"user_id": 7, "items": [{"product_id": product, "quantity": 1}]}
        async with client.post(f"{api.url}/orders", json=order) as response:
            placed = await response.json()
            assert response.status == HTTPStatus.CREATED, (intake, placed, api.logs())
        async with client.post(f"{api.url}/orders/{placed['order_id']}/pay") as response:
            assert response.status == HTTPStatus.ACCEPTED, (intake, await response.text(), api.logs())
        await until(partial(is_paid, client, api, placed["order_id"]), seconds=30, what=f"it is paid ({intake})")


async def is_paid(client: aiohttp.ClientSession, api: Service, order: str) -> bool:
    async with client.get(f"{api.url}/orders/{order}") as response:
        return bool((await response.json())["status"] == "PAID")


async def orders_without_channel(url: str) -> int:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM orders WHERE channel IS NULL"))
    finally:
        await connection.close()
