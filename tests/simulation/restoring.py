"""The database is restored from a backup, the provider keeps its books, and customers ask for everything again."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import count
from random import Random
from typing import Any, Final

from attrs import evolve, fields, frozen

from adapters.memory.store import MemoryStore
from application.access.principal import SYSTEM
from application.assembly.use_cases import UseCases
from application.errors import Trouble
from application.execution.idempotency import Keyed, Replayed
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.queue_orders import Queued
from application.orders.change_jobs import ChangeQueued
from application.ports.idempotency import IdempotencyKey
from domain.errors import DomainError
from domain.ids import OrderId, ProductId, UserId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.simulation.clients import Operation
from tests.simulation.faults import Faults
from tests.simulation.house import House, World
from tests.simulation.locks import RowLocks
from tests.simulation.loop import ended

# In seconds of the simulation: longer than any call takes that ends at all.
_TIMEOUT: Final = 30.0
# In seconds of the simulation: until the backup at most, and from there until the restore.
_BACKUP_WITHIN: Final = 2.0
_RESTORED_WITHIN: Final = 6.0


@frozen
class Customer:
    """Orders under a key, pays again and again until the money is taken, and may want it back.

    There is enough for everybody: otherwise a restore may sell to another customer what she has paid for.
    """

    _number: int
    _product: ProductId
    _chance: Random
    _faults: Faults
    _tell: Callable[[str], None]
    _open: Callable[[], Sequence[House]]

    async def buy(self) -> None:
        """All of it, as often as something that was done is gone again."""
        while not await self._buys():  # noqa: ASYNC110 - the time that passes is simulated
            await asyncio.sleep(0.3)

    async def _buys(self) -> bool:
        user = UserId(self._number)
        request = OrderRequest(user, (RequestedItem(self._product, 1),), pay=self._number % 3 == 0)
        key = IdempotencyKey(f"customer {user}", "the order")
        order = await self._insist("order", lambda shop: shop.place_order(SYSTEM, Keyed(request, key, "the same")))
        is_paid = isinstance(order, Order) and await self._pays(order.id)
        if is_paid and self._number % 2 == 0:
            await self._insist("refund", lambda shop: shop.request_refund(SYSTEM, order.id))
        return is_paid

    async def _pays(self, order_id: OrderId) -> bool:
        for attempt in count():
            key = IdempotencyKey(f"order {order_id}", f"attempt {attempt}")
            found: Any = None
            while found is None or found.status in {OrderStatus.PENDING, OrderStatus.PROCESSING}:
                await self._insist("pay", lambda shop, key=key: shop.request_payment(SYSTEM, Keyed(order_id, key, "")))
                found = await self._insist("look", lambda shop: shop.get_order(SYSTEM, order_id))
                if not isinstance(found, Order):
                    return False
                await asyncio.sleep(0.3)
            if found.status is not OrderStatus.FAILED:
                break
        return True

    async def _insist(self, what: str, operation: Operation) -> Any:
        """Ask until there is an answer. A refusal is one."""
        while True:
            answer = await self._ask(operation)
            if answer is not None:
                self._tell(f"customer {self._number}: {what}: {answer}")
                return answer
            await asyncio.sleep(0.3 * self._chance.random())

    async def _ask(self, operation: Callable[[UseCases], Any]) -> Any:
        houses = self._open()
        if not houses:
            return None
        house = self._chance.choice(houses)
        handling = house.process.begin(operation(house.use_cases))
        await ended(handling, within=_TIMEOUT)
        if not handling.done() or handling.cancelled():
            handling.cancel()
            return None
        error = handling.exception()
        if isinstance(error, DomainError | Trouble):
            # The traceback would keep all local variables alive until a garbage collection.
            error.__traceback__ = None
            return None if isinstance(error, Trouble) else error
        answer = handling.result()
        if isinstance(answer, Replayed):
            answer = answer.answer
        return answer.order if isinstance(answer, Queued | ChangeQueued) else answer


async def restore_at_some_time(
    world: World, alive: Mapping[str, House], chance: Random, tell: Callable[[str], None]
) -> None:
    """Take a backup, and set the database back to it later: whatever was committed in between is gone."""
    await asyncio.sleep(_BACKUP_WITHIN * chance.random())
    backup = _copy_of(world.database.store)
    tell(f"a backup is taken, with {len(backup.orders)} orders")
    await asyncio.sleep(_RESTORED_WITHIN * chance.random())
    tell("the database is restored from the backup")
    for house in alive.values():
        house.process.end()
    world.database.store = backup
    world.database.locks = RowLocks(world.database.on_deadlock, world.faults.linger)
    world.empty_caches()
    # Its messages are of the time that is gone, and may be there or not.
    if chance.random() < 0.5:
        world.broker.lose_everything()


def _copy_of(store: MemoryStore) -> MemoryStore:
    """As of now. The clock goes on, and so does the lock, which is not used here."""
    kept = {name: getattr(store, name) for name in ("now", "writing")}
    return evolve(
        store,
        **kept,
        **{each.name: deepcopy(getattr(store, each.name)) for each in fields(MemoryStore) if each.name not in kept},
    )
