import asyncio
from uuid import uuid4

from sqlalchemy import text

from adapters.sql.core.engine import create_engine
from tests.servers import wait_until
from tests.service import Service


def test_a_person_asks_why_an_order_stands_where_it_does(migrated: Service) -> None:
    product = migrated.add_product(stock=3)
    migrated.start_all(["up"])
    [order] = migrated.place_orders(product, 1)
    told = migrated.run("why", order)
    assert "PENDING, version 1, since" in told
    assert "nobody has asked for its payment" in told
    assert "order.placed" in told.splitlines()[-1]
    wait_until(
        lambda: "order.placed (into the feed " in migrated.run("why", order),
        seconds=60,
        what="it says how long the event took into the feed",
    )
    assert migrated.try_to_run("why", str(uuid4()))[0] == 1
    assert migrated.try_to_run("why", "42")[0] == 2


async def test_an_order_that_may_wait_in_the_intake_queue_is_not_said_to_be_unknown(on_servers: Service) -> None:
    """Without Redis, only the API that took it knows it. No worker has recorded it since the database is back."""
    del on_servers.settings["REDIS_URL"]
    on_servers.settings["HOLDFAST_INTAKE"] = "queued"
    product = await asyncio.to_thread(on_servers.add_product, stock=3)
    unknown = await asyncio.to_thread(on_servers.try_to_run, "why", str(uuid4()))
    assert (unknown[0], "intake queue" in unknown[1]) == (1, False), unknown
    await asyncio.to_thread(on_servers.start_all, ["api"])
    engine = create_engine(on_servers.settings["DATABASE_URL"])
    try:
        async with engine.begin() as busy:
            await busy.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await busy.execute(text("LOCK TABLE orders"))
            [order] = await asyncio.to_thread(on_servers.place_orders, product, 1)
    finally:
        await engine.dispose()
    status, told = await asyncio.to_thread(on_servers.try_to_run, "why", order)
    assert status == 1
    assert f"there is no order {order} among those that are recorded" in told
    assert "It may be an accepted order in the intake queue (1 wait there)" in told
    on_servers.settings["AMQP_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    _, told = await asyncio.to_thread(on_servers.try_to_run, "why", order)
    assert "It may wait in the intake queue, which can't be asked now" in told
