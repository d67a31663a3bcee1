"""What an API process has to know before the database is gone, to accept orders and changes of orders meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from application.intake.refresh_prices import RefreshPrices
from application.orders.accept_changes import ShopSecret
from entrypoints.loops import pause, repeated

# Seconds between two reads of the catalogue: for this long the price list may miss a new product.
_LOOK_EVERY: Final = 5.0
# The pause is at least this many times as long as the read, so that a large catalogue is read less often.
_REST: Final = 20
# Seconds that a start waits for the first read. Without a database it goes on with an empty price list.
_FIRST_LOOK: Final = 3.0


@asynccontextmanager
async def ready_for_outages(refresh_prices: RefreshPrices, secret: ShopSecret) -> AsyncGenerator[None, None]:
    """Keep the price list up to date, and the secret at hand by which the worker knows what was accepted."""
    known = asyncio.Event()
    now = asyncio.get_running_loop().time

    async def look() -> float:
        begun = now()
        await refresh_prices()
        known.set()
        await secret.learn()
        return max(_LOOK_EVERY, _REST * (now() - begun))

    async with repeated(look, name="prices"):
        await pause(_FIRST_LOOK, known)
        yield
