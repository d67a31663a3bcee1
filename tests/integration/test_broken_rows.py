"""An order or a product that somebody broke by hand in the database costs no other, and is named where it belongs."""

import asyncio
import json
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from holdfast_client import AsyncClient
from sqlalchemy import update

from adapters.sql.core.engine import create_engine
from adapters.sql.tables.catalogue import products
from adapters.sql.tables.events import order_events
from adapters.sql.tables.orders import order_items, orders, payments
from tests.service import Service, until

PROCESSES = ("api", "worker", "relay")


@pytest.fixture
async def service(stopped: Service) -> Service:
    await asyncio.to_thread(stopped.start_all, PROCESSES if "AMQP_URL" in stopped.settings else ["up"])
    return stopped


async def broken_by_hand(service: Service, *statements: Any) -> None:
    engine = create_engine(service.database)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(statement)
    finally:
        await engine.dispose()


async def pages(
    client: aiohttp.ClientSession, url: str, key: str = "order_id"
) -> tuple[list[Any], list[dict[str, str]]]:
    """Return the ids of all items of a list, and what it tells of those that can't be shown."""
    ids: list[Any] = []
    broken: list[dict[str, str]] = []
    following: str | None = url
    while following:
        async with client.get(following) as response:
            page = await response.json(content_type=None)
            assert response.status == 200, page
        ids += [each[key] for each in page["items"]]
        broken += page.get("broken", [])
        following = f"{url}&cursor={page['next']}" if page["next"] else None
    return ids, broken


async def exported(
    client: aiohttp.ClientSession, service: Service, only: dict[str, Any], *, what: str = "orders"
) -> dict[str, Any]:
    """Export orders or products, and return the result of the job with the ids in the file."""
    async with client.post(f"{service.url}/exports", json={"what": what, "filter": only}) as response:
        job_id = (await response.json())["job_id"]
    job: dict[str, Any] = {}

    async def is_written() -> bool:
        async with client.get(f"{service.url}/jobs/{job_id}") as response:
            job.update(await response.json())
        assert job["status"] not in {"DISCARDED", "CANCELLED"}, job
        return bool(job["status"] == "COMPLETED")

    await until(is_written, seconds=30, what="the export is written")
    async with client.get(f"{service.url}/exports/{job_id}") as response:
        lines = (await response.text()).splitlines()[1:]
    return {**job["result"], "ids": [json.loads(line)["order_id" if what == "orders" else "id"] for line in lines]}


async def test_an_order_broken_by_hand_costs_no_other(service: Service, client: aiohttp.ClientSession) -> None:
    product = await asyncio.to_thread(service.add_product, stock=100)
    ids = await asyncio.to_thread(service.place_orders, product, 9)
    bad, worse = ids[4], ids[2]
    sound = [id_ for id_ in reversed(ids) if id_ not in {bad, worse}]
    await broken_by_hand(
        service,
        update(order_items).where(order_items.c.order_id == UUID(bad)).values(quantity=77),
        # As if it had been paid, which nothing else says.
        update(orders).where(orders.c.id == UUID(worse)).values(status="PAID"),
    )

    for list_ in ("orders?limit=2", "orders?limit=3&user_id=7&total_min=1"):
        shown, broken = await pages(client, f"{service.url}/{list_}")
        assert shown == sound
        assert [each["order_id"] for each in broken] == [bad, worse]
        assert "not the sum of its lines" in broken[0]["detail"]
        assert "PAID and has no payment" in broken[1]["detail"]
    async with AsyncClient(service.url) as library:
        page = await library.order_page()
        assert [str(order.order_id) for order in page] == sound
        assert [str(each.id) for each in page.broken] == [bad, worse]
        assert [str(order.order_id) async for order in library.orders()] == sound
    for only in ({}, {"user_id": 7, "total_min": 1}):
        written = await exported(client, service, only)
        assert (written["ids"], written["rows"], written["broken"]) == (sound, 7, 2)

    # All at once: they share batches with the broken ones.
    async def pay(id_: str) -> tuple[int, str | None, str]:
        async with client.post(f"{service.url}/orders/{id_}/pay") as response:
            answer = await response.json(content_type=None)
            return response.status, answer.get("code"), answer.get("status")

    answers = dict(zip(ids, await asyncio.gather(*map(pay, ids)), strict=True))
    assert [answers.pop(id_) for id_ in (bad, worse)] == [(500, "broken_record", 500)] * 2
    assert {answer[0] for answer in answers.values()} == {202}

    async def all_are_paid() -> bool:
        async with client.get(f"{service.url}/orders?status=PAID&limit=100") as response:
            return {each["order_id"] for each in (await response.json())["items"]} == set(sound)

    await until(all_are_paid, seconds=60, what="the other orders are paid")

    status, told = await asyncio.to_thread(service.try_to_run, "reconcile")
    assert status == 1
    named = [line.split()[:2] for line in told.splitlines() if line.startswith("broken")]
    assert sorted(named) == sorted(["broken", id_] for id_ in (bad, worse))

    said = service.logs()
    assert bad in said
    assert "Traceback" not in said


async def test_a_broken_event_or_payment_costs_no_other_order_its_comparison(
    service: Service, client: aiohttp.ClientSession
) -> None:
    product = await asyncio.to_thread(service.add_product, stock=100)
    ids = await asyncio.to_thread(service.place_orders, product, 4)
    for id_ in ids:
        async with client.post(f"{service.url}/orders/{id_}/pay") as response:
            assert response.status == 202

    async def all_are_paid() -> bool:
        async with client.get(f"{service.url}/orders?status=PAID") as response:
            return len((await response.json())["items"]) == len(ids)

    await until(all_are_paid, seconds=60, what="the orders are paid")
    of_event, of_payment, other = map(UUID, ids[:3])
    await broken_by_hand(
        service,
        update(order_events).where(order_events.c.order_id == of_event).values(body="{}"),
        update(payments).where(payments.c.order_id == of_payment).values(provider_reference=None),
        # A discrepancy as there was before.
        update(orders).where(orders.c.id == other).values(version=9),
    )
    status, told = await asyncio.to_thread(service.try_to_run, "reconcile")
    assert status == 1
    named = sorted(line.split()[:2] for line in told.splitlines() if any(id_ in line for id_ in ids))
    assert named == sorted([["broken", ids[0]], ["broken", ids[1]], ["history", ids[2]]])


async def test_a_product_broken_by_hand_costs_no_other(service: Service, client: aiohttp.ClientSession) -> None:
    demo, _ = await pages(client, f"{service.url}/products?limit=100", "id")
    ids = [await asyncio.to_thread(service.add_product, stock=100, name=f"pen {number}") for number in range(5)]
    bad = ids[2]
    sound = demo + [id_ for id_ in ids if id_ != bad]
    await broken_by_hand(service, update(products).where(products.c.id == bad).values(currency="eur"))

    # Each size of a page is one that nobody has cached. The second time, those without the broken product are cached.
    for list_ in ("products?limit=1", "products?limit=2", "products?limit=7&active=all", "products?limit=1"):
        shown, _ = await pages(client, f"{service.url}/{list_}", "id")
        assert shown == sound
    written = await exported(client, service, {}, what="products")
    assert (written["ids"], written["rows"], written["broken"]) == (sound, len(sound), 1)

    # All at once: they share batches with the broken one.
    async def place(id_: int) -> tuple[int, str | None]:
        order = {"user_id": 7, "items": [{"product_id": id_, "quantity": 1}]}
        async with client.post(f"{service.url}/orders", json=order) as response:
            return response.status, (await response.json(content_type=None)).get("code")

    answers = await asyncio.gather(*map(place, ids))
    assert dict(zip(ids, answers, strict=True)) == {
        id_: (500, "broken_record") if id_ == bad else (201, None) for id_ in ids
    }

    async with client.get(f"{service.url}/console/stock") as response:
        screen = await response.text()
        assert response.status == 200
    assert "1 of these can't be shown" in screen
    assert "pen 3" in screen
    listed = (await asyncio.to_thread(service.run, "products", "list")).splitlines()
    assert [int(line.split()[0]) for line in listed] == demo + ids
    assert [line.split()[0] for line in listed if "broken" in line] == [str(bad)]
    status, told = await asyncio.to_thread(service.try_to_run, "reconcile")
    assert status == 1
    assert [line.split()[:4] for line in told.splitlines() if line.startswith("broken")] == [
        ["broken", "-", "product", str(bad)]
    ]
    assert "Traceback" not in service.logs()
