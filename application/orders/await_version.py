import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from attrs import define, field

from application.access.principal import Principal
from application.errors import Overloaded
from application.execution.conditional import OrderCall
from domain.ids import CustomerId
from domain.orders.order import Order

# Waits that one customer may have, in this process: it must not take the places of all others.
MOST_OF_A_CUSTOMER: Final = 20
# Seconds between two looks: the first follows soon, since most payments take less than a tenth of a second.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25
_GROWTH: Final = 1.5


@define(eq=False)
class AwaitVersion:
    """Read an order once it has a version. When the time is up, it is returned as it is.

    The version may come from any process, so the order is looked at again and again, as any other read does it: among
    the recent orders first, and for all that wait here at once. Between two looks nothing is held, and no connection.

    Raise what reading raises, at the first look: nobody waits for an order that is unknown or another customer's. Raise
    `Overloaded` if too many wait.
    """

    _get_order: Callable[[Principal, OrderCall], Awaitable[Order]]
    # How many may wait at once, in this process.
    _most: int = field(kw_only=True)
    count: int = field(default=0, init=False)
    _of_customers: Counter[CustomerId | None] = field(factory=Counter, init=False)
    _closed: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def __call__(self, by: Principal, call: OrderCall, *, version: int, seconds: float) -> Order:
        time = asyncio.get_running_loop().time
        until, pause = time() + seconds, _FIRST_PAUSE
        order = await self._get_order(by, call)
        if order.version >= version:
            return order
        self._expect_room(by)
        self.count += 1
        self._of_customers[by.user_id] += 1
        try:
            while order.version < version and (left := until - time()) > 0 and not self._closed.is_set():
                await self._sleep(min(pause, left))
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
                order = await self._get_order(by, call)
        finally:
            self.count -= 1
            self._of_customers -= Counter([by.user_id])
        return order

    def close(self) -> None:
        """End every wait, now and later."""
        self._closed.set()

    def _expect_room(self, by: Principal) -> None:
        if self.count >= self._most:
            raise Overloaded(f"{self._most} requests wait for an order in this process already")
        if by.user_id is not None and self._of_customers[by.user_id] >= MOST_OF_A_CUSTOMER:
            raise Overloaded(f"this customer waits for orders {MOST_OF_A_CUSTOMER} times already")

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
