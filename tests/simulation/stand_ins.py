"""The ports beside the database, as one process reaches them: each call may fail, or end the process."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final

from attrs import define, field

from application.errors import Trouble
from application.ports.caching import PriceList
from application.ports.messaging import OutboxSignal
from domain.catalogue.product import Product
from domain.ids import ProductId
from tests.simulation.broker import DeadLetterConnection, QueueConnection
from tests.simulation.faults import NO_ANSWER, UNKNOWN, Faults, Process
from tests.simulation.points import PORTS, Call, implementing

# Seconds for which a cache is not used after an outage: an order that was read before it must not be put later.
_SETTLE: Final = 5.0


def _standing_in(
    name: str, *, on_failure: Callable[[Any], None] = lambda _: None, **errors: tuple[type[Exception], ...]
) -> type:
    def wrap(method: str, call: Call) -> Callable[..., Any]:
        async def stand_in(self: Any, *args: Any, **options: Any) -> Any:
            effect = partial(getattr(self.inner, method), *args, **options)
            try:
                return await self.faults.call(self.process, call, effect, **errors)
            except Trouble:
                on_failure(self.inner)
                raise

        return stand_in

    def init(self: Any, faults: Faults, process: Process, inner: Any) -> None:
        self.faults, self.process, self.inner = faults, process, inner

    return type(f"Simulated{PORTS[name].__name__}", (), {"__init__": init, **implementing(name, PORTS[name], wrap)})


# The caches never raise, that is their contract; servers fail before they have done something, and after it.
SimulatedRecentOrders: Final = _standing_in("recent_orders")
SimulatedAcceptedChanges: Final = _standing_in("accepted_changes")
SimulatedCatalogueCache: Final = _standing_in("catalogue_cache")
SimulatedStockCache: Final = _standing_in("stock_cache")
SimulatedCarts: Final = _standing_in("carts", before=NO_ANSWER, after=UNKNOWN)
SimulatedPublisher: Final = _standing_in("publisher", before=NO_ANSWER, after=UNKNOWN)
SimulatedIntakeQueue: Final = _standing_in("intake_queue", before=NO_ANSWER, after=UNKNOWN)
# A queue that fails has lost its connection: what it had brought is brought again.
SimulatedDeliveries: Final = _standing_in("queue", on_failure=QueueConnection.lose, before=NO_ANSWER, after=UNKNOWN)
SimulatedDeadLetterQueue: Final = _standing_in(
    "dead_letter_queue", on_failure=DeadLetterConnection.lose, before=NO_ANSWER, after=UNKNOWN
)
SimulatedPayments: Final = _standing_in("gateway", before=NO_ANSWER, after=UNKNOWN)
# It raises nothing, that is its contract: what fails is an answer as well.
SimulatedWebhooks: Final = _standing_in("webhooks")


_LOOK_UP: Final = Call("price_list.get_many")
_LEARN: Final = Call("price_list.learn")
_REPLACE: Final = Call("price_list.replace_all")


@define(eq=False)
class SimulatedPriceList:
    """The price list of a process, which never fails."""

    _faults: Faults
    _process: Process
    _inner: PriceList

    def get_many(self, ids: Collection[ProductId]) -> dict[ProductId, Product]:
        self._faults.cross(self._process, _LOOK_UP.before)
        known = self._inner.get_many(ids)
        self._faults.cross(self._process, _LOOK_UP.after)
        return known

    def learn(self, products: Sequence[Product]) -> None:
        self._faults.cross(self._process, _LEARN.before)
        self._inner.learn(products)
        self._faults.cross(self._process, _LEARN.after)

    def replace_all(self, products: Sequence[Product]) -> None:
        self._faults.cross(self._process, _REPLACE.before)
        self._inner.replace_all(products)
        self._faults.cross(self._process, _REPLACE.after)


_NOTIFY: Final = Call("signal.notify")
_WAIT: Final = Call("signal.wait")


@define(eq=False)
class SimulatedSignal:
    """Wakes the relay, where nothing goes wrong."""

    _faults: Faults
    _process: Process
    _inner: OutboxSignal

    def notify(self) -> None:
        self._faults.cross(self._process, _NOTIFY.before)
        if not self._faults.happens(self._faults.weather.errors):
            self._inner.notify()
        self._faults.cross(self._process, _NOTIFY.after)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the port's signature
        # Looks without a signal are made seldom: most find nothing, and cost as much as those that do.
        await self._faults.call(self._process, _WAIT, partial(self._inner.wait, 3 * timeout))


@define(eq=False)
class UnsteadyCache:
    """A cache on a server that is sometimes slow, or emptied. It is then unused until adapters trust it again.

    It has the methods of the cache that `make` makes.
    """

    _make: Callable[[], Any]
    _faults: Faults
    _answers: dict[str, Callable[..., Any]]
    _cache: Any = field(init=False)
    _gone_until: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._cache = self._make()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            # What is left out is not even sent, so that it can't arrive when the cache is trusted again.
            sent, weather = not self._is_gone(), self._faults.weather
            slow = weather.slow_caches if method == "put_many" or not weather.late_news else 0.0
            if sent and self._faults.happens(slow):
                # The first update may arrive last.
                await asyncio.sleep(self._faults.chance.random())
            if self._faults.happens(weather.cache_losses):
                self._faults.tell(f"a cache has lost everything: {type(self._cache).__name__}")
                self._cache, self._gone_until = self._make(), asyncio.get_running_loop().time() + _SETTLE
            if not sent or self._is_gone():
                return self._answers[method](*args) if method in self._answers else None
            return await getattr(self._cache, method)(*args, **options)

        return call

    def _is_gone(self) -> bool:
        # To ask for the loop takes longer than all else here, and most caches are never gone.
        return self._gone_until > 0 and asyncio.get_running_loop().time() < self._gone_until


@define(eq=False)
class LateProvider:
    """A provider that sometimes never answers, and charges after a while."""

    _inner: Any
    _faults: Faults

    async def charge(self, *args: Any) -> str:
        return str(await self._ask(self._inner.charge, *args))

    async def refund(self, *args: Any) -> None:
        await self._ask(self._inner.refund, *args)

    async def charges(self, *, after: Any, limit: int) -> Any:
        return await self._inner.charges(after=after, limit=limit)

    async def charges_of(self, keys: Any) -> Any:
        return await self._inner.charges_of(keys)

    async def _ask(self, method: Callable[..., Any], *args: Any) -> Any:
        if not self._faults.happens(self._faults.weather.errors):
            return await method(*args)
        self._faults.tell("the provider gives no answer, and does it later")
        loop = asyncio.get_running_loop()
        loop.call_later(self._faults.chance.random(), lambda: loop.create_task(_whatever(method(*args))))
        return await loop.create_future()


@define(eq=False)
class OnceAtATime:
    """The provider as one process asks it: never about one payment in two calls at once."""

    _inner: Any
    _complain: Callable[[str], None]
    _running: set[Any] = field(factory=set, init=False)

    async def charge(self, *args: Any) -> str:
        return str(await self._ask("charge", *args))

    async def refund(self, *args: Any) -> None:
        await self._ask("refund", *args)

    async def _ask(self, method: str, key: Any, *args: Any) -> Any:
        if (method, key) in self._running:
            self._complain(f"payment {key} was asked about in two calls at once: {method}")
        self._running.add((method, key))
        try:
            return await getattr(self._inner, method)(key, *args)
        finally:
            self._running.discard((method, key))


async def _whatever(work: Any) -> None:
    await asyncio.gather(work, return_exceptions=True)
