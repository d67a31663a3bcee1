"""A command waits longer than a request may, since only the person who gave it has to wait."""

import asyncio

from sqlalchemy import text

from adapters.sql.core.engine import LOCK_TIMEOUT, create_engine
from tests.servers.forked import ForkedHoldfast
from tests.service import HOLDFAST, Service


async def test_a_command_waits_for_a_product_that_is_busy_for_longer_than_any_request(on_servers: Service) -> None:
    await asyncio.to_thread(on_servers.add_product, stock=1)
    engine = create_engine(on_servers.settings["DATABASE_URL"])
    restock = ForkedHoldfast(
        argv=[str(HOLDFAST), "products", "restock", "1", "5", "--reason", "found"],
        env=on_servers.environment(),
        log=on_servers.folder / "restock.log",
        cwd=on_servers.folder,
    )
    try:
        async with engine.connect() as busy:
            await busy.execute(text("SELECT FROM products WHERE id = 1 FOR UPDATE"))
            waits = text(
                "SELECT count(*) > 0 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            async with engine.connect() as observer, asyncio.timeout(60):
                await asyncio.to_thread(restock.start)
                while not (await observer.execute(waits)).scalar():
                    await observer.rollback()
                    await busy.execute(text("SELECT 1"))
                    await asyncio.sleep(0.1)
            for _ in range(int(LOCK_TIMEOUT) + 2):
                # The server would end a transaction that is idle.
                await busy.execute(text("SELECT pg_sleep(1)"))
            assert restock.running, restock.tail()
            await busy.rollback()
        assert await asyncio.to_thread(restock.wait, seconds=60) == 0, restock.tail()
        assert restock.output().split()[-1] == "6"
    finally:
        await asyncio.to_thread(restock.kill)
        await engine.dispose()
