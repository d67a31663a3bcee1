import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from random import Random
from typing import Any, Final, TypeVar

from attrs import define, evolve, field, frozen

from application.errors import Aborted, OutcomeUnknown, Unavailable
from domain.orders.events import OrderPaid, OrderPlaced, PaymentRequested, RefundRequested
from entrypoints.loops import Stop
from tests.simulation.loop import GROUP
from tests.simulation.points import BROKER, CRASH_POINTS, DATABASE, Call

T = TypeVar("T")


# In seconds: the shortest outage, its longest extension, and the timeout of a call.
_AWAY: Final = (1.0, 4.0)
_GIVES_UP: Final = 3.0

_QUEUED: Final = {"embedded": False, "intake": "queued", "errand": "place"}
AUTO: Final[dict[str, Any]] = {"embedded": False, "intake": "auto", "errand": "place"}
# Slow caches that lose nothing, with a client that reads through every process.
WATCHED: Final[dict[str, Any]] = {
    "embedded": False,
    "intake": "direct",
    "away": (),
    "cache_losses": 0.0,
    "slow_caches": 0.6,
    "keys": 1.0,
    "concurrent_repeats": 0.6,
    "errand": "watch",
}
# Everything is fast except the updates of orders in caches: an older version may arrive after a client has seen a newer
# one.
LATE_NEWS: Final[dict[str, Any]] = WATCHED | {
    "slow_caches": 0.9,
    "late_news": True,
    "keys": 0.0,
    "errors": 0.0,
    "pauses": 0.0,
    "unconfirmed": 0.0,
    "restarts": 0,
}

_EXPORTS: Final = {"errand": "exports"}
IMPORTS: Final[dict[str, Any]] = {"errand": "imports"}
_TALKS: Final = {"errand": "messages"}
# Poison in the queues, and people who decide about it.
DECISIONS: Final[dict[str, Any]] = {"errand": "decide", "poison": 0.9, "intake": "direct"}

# Somebody who has the shop checked all the time, while charges come late and messages are set aside.
CHECKS: Final[dict[str, Any]] = {"errand": "check", "poison": 0.3}

# Customers who order their carts, again and again, and lose many answers.
CARTS: Final[dict[str, Any]] = {
    "errand": "cart",
    "embedded": False,
    "away": (),
    "errors": 0.1,
    "hang_ups": 0.3,
    "keys": 0.0,
    "cache_losses": 0.0,
}

# Customers who use a key for each request, and often twice at once.
REPEATS: Final[dict[str, Any]] = {"errand": "watch", "keys": 1.0, "concurrent_repeats": 0.8}

# Customers who change their minds before their orders are recorded.
HURRY: Final[dict[str, Any]] = {"embedded": False, "intake": "queued", "errand": "hurry"}

# Customers who ask for everything again, under the same keys, after the database was restored from a backup.
RESTORED: Final[dict[str, Any]] = {"restored": True}

# They do so while the database is away.
AWAY: Final[dict[str, Any]] = HURRY | {"intake": "auto", "away": (DATABASE,), "cache_losses": 0.0}

_REFUSED: Final = ((OrderPlaced.type,), (PaymentRequested.type, RefundRequested.type, OrderPaid.type))

# The crash points that few runs reach, and the weather that leads there.
# What a receiver did not take is sent again after five seconds, so that the run must last longer.
_SENT_AGAIN: Final[dict[str, Any]] = {"webhooks": True, "errand": "watch", "errors": 0.0, "restarts": 0}

_LEADS_TO: Final[dict[str, dict[str, Any]]] = {
    "webhook_deliveries.due": _SENT_AGAIN,
    "webhook_deliveries.get_many": _SENT_AGAIN,
    "webhook_deliveries.undelivered": _SENT_AGAIN,
    "webhook_deliveries.skip_open": _SENT_AGAIN,
    "outbox.re_enqueue": {"embedded": True, "errors": 0.04, "restarts": 8, "errand": "money"},
    "outbox.release": {"restarts": 5},
    "outbox.renew": {"unconfirmed": 0.6},
    "feed.release": {"restarts": 5},
    "announcements.put_off": {"unconfirmed": 0.6},
    # Announcements that were put off are due after five seconds, so that the run must last longer.
    "announcements.remove": {"unconfirmed": 0.4, "pauses": 0.4, "errors": 0.0, "restarts": 0, "refuses": ()},
    "waiting_work.put_off": {"unconfirmed": 0.6, "errand": "money"},
    "waiting_work.remove": {"unconfirmed": 0.4, "errand": "money"},
    "orders.page": {"errand": "orders"},
    "recent_orders.get_many": {"errand": "orders"},
    # The process that adds the products crashes there, before any client starts.
    "products.add_many": LATE_NEWS,
    "stock_adjustments.add_many": LATE_NEWS,
    "catalogue_cache.begin_epoch": LATE_NEWS,
    "stock_cache.put_committed": WATCHED,
    "recent_orders.put_many": WATCHED,
    "recent_orders.put_accepted": _QUEUED,
    # Customers speak about orders that are nowhere yet. A cache that is gone would give no answer.
    "recent_orders.get_accepted": HURRY | {"errand": "messages", "cache_losses": 0.0},
    "recent_orders.invalidate_below": WATCHED,
    "idempotency_keys.claim": REPEATS,
    "idempotency_keys.add_many": REPEATS,
    "products.page": {"errand": "products"},
    "catalogue_cache.get": {"errand": "products"},
    "catalogue_cache.put": {"errand": "products"},
    "products.stock_of": {"errand": "products"},
    "stock_cache.get_many": {"errand": "products"},
    "stock_cache.put_read": {"errand": "products"},
    "products.edit_many": {"errand": "price"},
    "earlier_prices.add_many": {"errand": "price"},
    "earlier_prices.of_products": _QUEUED | {"errand": "price"},
    "price_list.learn": {"errand": "price"},
    "stock_adjustments.page": {"errand": "products"},
    "events.of_orders": {"errand": "history"},
    "gateway.charge": {"errand": "money"},
    "gateway.refund": {"errand": "money", "declines": 0.0},
    "payments.save_many": {"errand": "money"},
    "queue.ack": {"errand": "money"},
    "queue.retry": {"errand": "money", "errors": 0.15},
    "queue.dead_letter": {"errand": "money", "poison": 0.9},
    "dead_letter_queue.receive": {"errand": "money", "poison": 0.9},
    "dead_letter_queue.ack": {"errand": "money", "poison": 0.9},
    "dead_letters.record": {"errand": "money", "poison": 0.9},
    "dead_letters.get_many": DECISIONS,
    "dead_letters.save_many": DECISIONS,
    "dead_letters.summaries": DECISIONS,
    "orders.search_ids": DECISIONS,
    "price_list.get_many": AUTO | {"away": (DATABASE,)},
    "dead_letters.page": CHECKS,
    "consistency_checks.note": CHECKS,
    "products.stock_counts": CHECKS,
    "recent_orders.scan": CHECKS,
    "outbox.page": CHECKS,
    "waiting_work.page": CHECKS,
    "webhook_progress.ids": CHECKS | {"webhooks": True},
    "webhook_deliveries.count": CHECKS | {"webhooks": True},
    "feed.count": CHECKS | {"webhooks": True},
    "accepted_changes.put_many": AWAY,
    "accepted_changes.of_orders": AWAY,
    "accepted_changes.get": _TALKS,
    "accepted_changes.forget": AWAY,
    "accepted_changes.scan": CHECKS,
    "intake_queue.put_changes": AWAY,
    "shop.secret": AWAY,
    "price_list.replace_all": _QUEUED | {"errand": "new"},
    "intake_queue.put_many": _QUEUED,
    "intake_queue.is_empty": _QUEUED | {"errand": "shown", "cache_losses": 0.05},
    "orders.add_many": AUTO | {"away": (DATABASE,), "silent": True},
    "jobs.now": _TALKS,
    "jobs.changes_of": HURRY,
    "jobs.add_many": _TALKS,
    "jobs.due": _TALKS,
    "jobs.get_many": _TALKS,
    "jobs.save_many": _TALKS,
    "jobs.page": _TALKS,
    "files.get": _EXPORTS,
    "files.get_many": DECISIONS,
    "files.append": _EXPORTS,
    "files.read": IMPORTS,
    "files.remove": IMPORTS,
    "messages.add_many": _TALKS,
    "messages.page": _TALKS,
}


@frozen(kw_only=True)
class Weather:
    """What can go wrong in one run, and how often. Each run has its own: a fault that is everywhere hides others."""

    embedded: bool
    errors: float
    yields: float
    pauses: float
    declines: float
    unconfirmed: float
    duplicates: float
    redeliveries: float
    poison: float
    strangers: float
    # In seconds. Answers within a moment are recorded with their batch, others when they come.
    slowest_charge: float
    slow_locks: float
    hang_ups: float
    cache_losses: float
    slow_caches: float
    broker_losses: int
    restarts: int
    # How often a clock is set, forward or back: that of the database, or that of the processes.
    clock_steps: int
    # How orders get in, which servers are away for some time, and whether they are silent then, or refuse to answer.
    intake: str
    away: tuple[str, ...]
    # The types of events that a stranger's full queue refuses until everything else has drained.
    refuses: tuple[str, ...]
    silent: bool
    # The share of requests with an idempotency key, and of those what is asked twice at once.
    keys: float = 0.4
    concurrent_repeats: float = 0.2
    # Whether slow caches are slow only where they are told of orders.
    late_news: bool = False
    # Whether the database is restored from a backup, while the provider keeps its books.
    restored: bool = False
    # Whether there are receivers of webhooks.
    webhooks: bool = False
    # The errand that clients prefer, if any.
    errand: str = ""
    crashes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, seed: int, chance: Random) -> "Weather":
        # Each point has its turn, in a weather that leads there; the other crashes may be anywhere.
        own = CRASH_POINTS[seed % len(CRASH_POINTS)]
        others = [chance.choice(CRASH_POINTS) for _ in range(chance.choice((0, 1, 3, 5)))]
        weather = cls(
            embedded=chance.random() < 0.25,
            errors=chance.choice((0.0, 0.02, 0.06)),
            yields=chance.choice((0.02, 0.1, 0.3)),
            pauses=chance.choice((0.0, 0.02, 0.05)),
            declines=chance.choice((0.0, 0.3)),
            unconfirmed=chance.choice((0.0, 0.0, 0.3)),
            duplicates=chance.choice((0.0, 0.05, 0.3)),
            redeliveries=chance.choice((0.0, 0.0, 0.1)),
            poison=chance.choice((0.0, 0.0, 0.2)),
            strangers=chance.choice((0.0, 0.0, 0.5)),
            slowest_charge=chance.choice((0.02, 0.2, 0.2, 3.0)),
            slow_locks=chance.choice((0.0, 0.5)),
            hang_ups=chance.choice((0.0, 0.2)),
            cache_losses=chance.choice((0.0, 0.0, 0.01)),
            slow_caches=chance.choice((0.0, 0.0, 0.4)),
            broker_losses=chance.choice((0, 0, 0, 3)),
            restarts=chance.choice((0, 0, 1, 3)),
            clock_steps=chance.choice((0, 0, 0, 2)),
            intake=chance.choice(("direct", "direct", "direct", "direct", "queued", "auto")),
            away=chance.choice(((),) * 9 + ((DATABASE,), (BROKER,), (DATABASE, BROKER))),
            refuses=chance.choice(((),) * 5 + _REFUSED),
            silent=chance.random() < 0.5,
            webhooks=chance.random() < 0.2 or own.startswith("webhook"),
            # The number of visits of the crash point before the process ends there.
            crashes=(
                *((point, chance.choice((0, 0, 0, 1, 3))) for point in others),
                (own, 0 if own.split()[0] in _LEADS_TO else chance.choice((0, 0, 1))),
            ),
        )
        weather = evolve(weather, **_LEADS_TO.get(own.split()[0], {}))
        # With everything in one process there are no servers that could be away.
        return evolve(weather, intake="direct", away=()) if weather.embedded else weather


@define(eq=False)
class Process:
    """One life of a program. When it has crashed, its tasks end at their next step and reach nothing any more."""

    name: str
    tasks: list["asyncio.Task[Any]"] = field(factory=list, repr=False)
    stop: Stop = field(factory=Stop, repr=False)
    dead: bool = False

    @property
    def answers(self) -> bool:
        return not self.dead and not self.stop.is_set()

    def begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        context = copy_context()
        context.run(GROUP.set, self.tasks)
        return asyncio.get_running_loop().create_task(work, context=context)

    def end(self) -> None:
        self.dead = True
        for task in self.tasks:
            task.cancel()


@define(eq=False)
class Faults:
    """Decides the outcome of each call of a port, and remembers where processes crashed."""

    weather: Weather
    chance: Random
    tell: Callable[[str], None]
    on: bool = True
    crashed: Counter[str] = field(factory=Counter)
    # From when until when which server was away.
    outages: list[tuple[str, float, float]] = field(factory=list, init=False)
    # Until when which server is away.
    _away: dict[str, float] = field(factory=dict, init=False)
    _crashes: dict[str, int] = field(init=False)
    _pauses: float = field(init=False)
    _delays: float = field(init=False)
    _errors: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._crashes = dict(self.weather.crashes)
        self._pauses = self.weather.pauses
        self._delays = max(self.weather.pauses, self.weather.yields)
        self._errors = self.weather.errors

    def end(self) -> None:
        """From now on nothing breaks and nothing is slow. The order of the tasks is still random."""
        self.on = False
        now = asyncio.get_running_loop().time()
        self.outages = [(server, begin, min(end, now)) for server, begin, end in self.outages]
        self._away.clear()
        self._crashes.clear()
        self._pauses, self._delays, self._errors = 0.0, self.weather.yields, 0.0

    def cut_off(self, server: str) -> None:
        if self.on:
            least, more = _AWAY
            seconds = least + more * self.chance.random()
            self.tell(f"{server} {'is silent' if self.weather.silent else 'is away'} for {seconds:.1f} s")
            now = asyncio.get_running_loop().time()
            self._away[server] = now + seconds
            self.outages.append((server, now, now + seconds))

    def happens(self, rate: float) -> bool:
        return self.on and rate > 0 and self.chance.random() < rate

    def cross(self, process: Process, point: str) -> None:
        """Pass a point without waiting. A process that crashes here is cancelled, as is one that did so before."""
        if process.dead:
            raise asyncio.CancelledError(f"{process.name} has crashed")
        if point in self._crashes:
            self._crashes[point] -= 1
            if self._crashes[point] < 0:
                del self._crashes[point]
                self.crashed[point] += 1
                self.tell(f"{process.name} crashes: {point}")
                process.end()
                raise asyncio.CancelledError(f"{process.name} crashes")

    async def call(
        self,
        process: Process,
        call: Call,
        effect: Callable[[], Awaitable[T]],
        *,
        before: tuple[type[Exception], ...] = (),
        after: tuple[type[Exception], ...] = (),
    ) -> T:
        """Make a call of a port: it may fail, or its process crash, before the effect or after it."""
        # Nearly all of the time of a simulation goes by here: a coroutine or a call less is seeds more.
        if process.dead or call.before in self._crashes:
            self.cross(process, call.before)
        drawn = self.chance.random()
        if drawn < self._delays:
            await self._delay(process, drawn)
        if self._away and call.server in self._away:
            await self._knock(process, call, effect)
        if before and self._errors:
            self.fail(process, before, call.before)
        result = await effect()
        if process.dead or call.after in self._crashes:
            self.cross(process, call.after)
        if after and self._errors:
            self.fail(process, after, call.after)
        return result

    async def _knock(self, process: Process, call: Call, effect: Callable[[], Awaitable[object]]) -> None:
        """Raise while the server is away: at once, or after a timeout in which the call may have happened."""
        left = self._away[call.server] - asyncio.get_running_loop().time()
        if left <= 0:
            return
        if self.weather.silent:
            if self.happens(0.5):
                await effect()
            await asyncio.sleep(min(left, _GIVES_UP))
            self.cross(process, call.after)
        kind = OutcomeUnknown if self.weather.silent and call.may_have_happened else Unavailable
        raise kind(f"simulated: {call.server} is away: {call.before}")

    async def _delay(self, process: Process, drawn: float) -> None:
        """Let some time pass, or others go first."""
        await asyncio.sleep(self.chance.random() if drawn < self._pauses else 0)
        if process.dead:
            raise asyncio.CancelledError(f"{process.name} has crashed")

    async def linger(self) -> None:
        """Let others go first, or some time pass, where that costs much: between the locks of two rows."""
        await asyncio.sleep(self.chance.random() if self.happens(self.weather.slow_locks) else 0)

    def fail(self, process: Process, errors: tuple[type[Exception], ...], point: str) -> None:
        if self.happens(self._errors):
            error = self.chance.choice(errors)
            self.tell(f"{process.name} is told {error.__name__}: {point}")
            raise error(f"simulated: {point}")


OUT_OF_REACH = (Unavailable,)
NOT_DONE = (Aborted, Unavailable)
NO_ANSWER = (Unavailable, OutcomeUnknown)
UNKNOWN = (OutcomeUnknown,)
