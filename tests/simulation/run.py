import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

import structlog
from attrs import define, evolve, field, frozen

from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.payments.simulated.ledger import MemoryLedger
from application.access.principal import SYSTEM, the_system
from application.catalogue.add_products import NewProduct
from application.errors import Trouble
from application.execution.after_commit import Committed
from application.ports.environment import Clock
from application.reconciliation.webhooks import CompareWebhooks
from application.webhooks.operating import NOW as WITH_WHAT_IS_NEW
from application.webhooks.operating import WHERE_IT_STOPPED
from domain.ids import OrderId, ProductId
from domain.jobs.job import FINISHED
from domain.money import Money
from domain.orders.status import OrderStatus
from tests.invariants import LedgerCharge
from tests.simulation import checks, readers, receivers
from tests.simulation.broker import SimulatedBroker
from tests.simulation.clients import Client, Diary
from tests.simulation.database import Database
from tests.simulation.faults import Faults, Process, Weather
from tests.simulation.house import CATALOGUE_AGE, House, Parts, World
from tests.simulation.loop import SimulatedLoop, ended
from tests.simulation.points import DATABASE
from tests.simulation.readers import FeedReader
from tests.simulation.receivers import ENDPOINTS, Receivers
from tests.simulation.restoring import Customer, restore_at_some_time
from tests.simulation.stand_ins import LateProvider
from tests.unit.builders import NOW, CountedIds

_MAX_STEPS: Final = 200_000
# In seconds of the simulation: for what has to expire, and for the longest pause before another attempt.
_DRAINS_WITHIN: Final = 400
_LOOKS_EVERY: Final = 0.2
_CLOCK_STEPS: Final = (timedelta(seconds=3), timedelta(minutes=2), timedelta(days=1), timedelta(days=366))
# Many short runs find more in the same time than few long ones. A visit of a watching client is as long as ten.
_MOST_VISITS: Final = 4
_MOST_TO_WATCH: Final = 3
# Made between two collections of garbage, where there are many runs.
_NEW_OBJECTS: Final = 20_000


@frozen(kw_only=True)
class Report:
    """The result of one seed. Without findings, all was well."""

    seed: int
    findings: tuple[str, ...]
    crashed: Counter[str]
    steps: int
    trace: tuple[str, ...]


def simulate(seed: int, *, parts: Parts | None = None, tracing: bool = False) -> Report:
    """A run of the whole shop. The same seed gives the same run, to the last step."""
    return _Run(seed, parts or Parts(), tracing=tracing).report()


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """For many runs in a row: what is there by now stays, and need not be looked through again and again."""
    kept = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *kept[1:])
    try:
        yield
    finally:
        gc.set_threshold(*kept)
        gc.unfreeze()


@define(eq=False)
class _Tale:
    """What happened, and when. It does not know the run, which would need the garbage collector to go otherwise."""

    _loop: SimulatedLoop
    _tracing: bool
    lines: list[str] = field(factory=list, init=False)

    def tell(self, what: str) -> None:
        if self._tracing:
            self.lines.append(f"{self._loop.time():8.3f}  {what}")

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._loop.time())

    def clock(self) -> "_ServerClock":
        return _ServerClock(self.now)


@define(eq=False)
class _ServerClock:
    """A clock of its own, which somebody may set."""

    _now: Clock
    ahead: timedelta = timedelta(0)
    steps: int = 0

    def __call__(self) -> datetime:
        return self._now() + self.ahead


@define(eq=False)
class _Run:
    _seed: int
    _parts: Parts
    _tracing: bool = field(kw_only=True)
    _tale: _Tale = field(init=False)
    _findings: list[str] = field(factory=list, init=False)
    _alive: dict[str, House] = field(factory=dict, init=False)
    _processes: list[Process] = field(factory=list, init=False)
    _chance: Random = field(init=False)
    _loop: SimulatedLoop = field(init=False)
    _faults: Faults = field(init=False)
    _diary: Diary = field(init=False)
    _database_clock: _ServerClock = field(init=False)
    # That of the machine where all processes run.
    _processes_clock: _ServerClock = field(init=False)
    _time_to_pay: checks.TimeToPay = field(factory=checks.TimeToPay, init=False)
    _ledger: MemoryLedger = field(factory=MemoryLedger, init=False)
    _world: World = field(init=False)
    _readers: list[FeedReader] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = Random(self._seed)
        self._loop = SimulatedLoop(self._chance)
        self._tale = _Tale(self._loop, self._tracing)
        weather = evolve(Weather.of(self._seed, self._chance), **self._parts.weather)
        if self._tracing:
            self._tale.tell(str(weather))
        self._faults = Faults(weather, self._chance, self._tale.tell)
        self._diary = Diary(self._tale.tell)
        self._database_clock, self._processes_clock = self._tale.clock(), self._tale.clock()
        gateway = SimulatedGateway(
            self._ledger,
            delay=(0.0, weather.slowest_charge),
            decline_rate=weather.declines,
            seed=self._seed,
            now=self._tale.now,
        )
        self._world = World(
            parts=self._parts,
            faults=self._faults,
            database=Database(
                self._faults,
                self._on_commit,
                on_deadlock=self._diary.complain,
                now=self._database_clock,
                locking=self._parts.locking,
            ),
            broker=SimulatedBroker(self._faults),
            provider=LateProvider(gateway, self._faults),
            now=self._processes_clock,
            new_id=CountedIds(),
            complain=self._diary.complain,
            receivers=Receivers(self._chance),
        )

    def _on_commit(self, store: MemoryStore, committed: Committed) -> None:
        _check_commit(self._diary, store, committed)
        away = [(begin, end) for server, begin, end in self._faults.outages if server == DATABASE]
        for finding in self._time_to_pay.too_short(
            committed.orders, store, self._loop.time(), away, self._database_clock.steps
        ):
            self._diary.complain(finding)

    def report(self) -> Report:
        with _heard(self._hear):
            try:
                self._loop.run(self._main(), max_steps=_MAX_STEPS)
            except RuntimeError as error:
                self._findings.append(f"the run did not end: {error}")
        return Report(
            seed=self._seed,
            findings=(*self._diary.complaints, *self._findings, *self._loop.troubles),
            crashed=self._faults.crashed,
            steps=self._loop.steps,
            trace=tuple(self._tale.lines),
        )

    async def _main(self) -> None:
        programs = {"up": House.run_up}
        if not self._faults.weather.embedded:
            programs = {f"api-{number}": House.run_api for number in range(self._chance.randint(1, 2))}
            programs |= {f"worker-{number}": House.run_worker for number in range(self._chance.randint(1, 2))}
            # One at a time is active. The other one takes over when the lease ends.
            programs |= {f"relay-{number}": House.run_relay for number in range(self._chance.choice((1, 1, 2)))}
        # The catalogue is filled before the programs start, because a price list that starts empty is refreshed late.
        products = await self._fill_shelves()
        if self._faults.weather.webhooks and not self._faults.weather.restored:
            await self._register_receivers()
        around = [asyncio.create_task(self._keep_running(name, program)) for name, program in programs.items()]
        around += [asyncio.create_task(disturbance) for disturbance in self._disturbances()]
        houses = partial(self._open)
        self._readers = [
            FeedReader(f"reader-{number}", number < 2, self._faults, self._chance, houses)
            # After a restore there are other events at positions that somebody has read.
            for number in range(0 if self._faults.weather.restored else 3)
        ]
        around += [asyncio.create_task(reader.run()) for reader in self._readers]
        await (self._buy_again if self._faults.weather.restored else self._visit)(houses, products)
        self._faults.end()
        self._tale.tell("no more faults")
        await self._drain(self._left)
        # Until here, a stranger's full queue has refused announcements, and nobody had to wait for it.
        self._world.broker.refuses = False
        await self._drain(self._unheard)
        await self._compare()
        for process in self._processes:
            process.end()
        for task in around:
            task.cancel()
        left = [*around, *(task for process in self._processes for task in process.tasks)]
        await asyncio.wait([task for task in left if not task.done()])
        for task in left:
            _clear_traceback(task)
        for process in self._processes:
            process.tasks.clear()

    async def _visit(self, houses: Callable[[], list[House]], products: list[ProductId]) -> None:
        most_visits = _MOST_TO_WATCH if self._faults.weather.errand == "watch" else _MOST_VISITS
        await asyncio.gather(
            *(
                Client(
                    f"client-{number}", self._chance, self._faults, self._diary, houses, products, self._is_accepted
                ).run(visits=self._chance.randint(1, most_visits))
                for number in range(self._chance.randint(1, 3))
            )
        )

    async def _buy_again(self, houses: Callable[[], list[House]], products: list[ProductId]) -> None:
        customers = [
            Customer(number, products[0], self._chance, self._faults, self._tale.tell, houses)
            for number in range(1, self._chance.randint(2, 4))
        ]
        await asyncio.gather(
            *(customer.buy() for customer in customers),
            restore_at_some_time(self._world, self._alive, self._chance, self._tale.tell),
        )
        self._faults.end()
        # What they ask for again has been done, or was lost with what came after the backup.
        await asyncio.gather(*(customer.buy() for customer in customers))

    async def _keep_running(self, name: str, program: Callable[[House], Coroutine[Any, Any, None]]) -> None:
        """Start a program, and start it again whenever it has ended."""
        while True:
            process = Process(name)
            house = self._alive[name] = House(self._world, process)
            self._processes.append(process)
            running = process.begin(program(house))
            await ended(running)
            process.end()
            error = None if running.cancelled() else running.exception()
            if error is not None and not isinstance(error, Trouble):
                self._findings.append(f"{name} ended with {error!r}")
            if self._faults.weather.embedded:
                self._world.broker.lose_everything()
            await asyncio.sleep(2 * self._chance.random())
            self._tale.tell(f"{name} starts again")

    def _disturbances(self) -> Iterator[Coroutine[Any, Any, None]]:
        if self._faults.weather.webhooks:
            yield self._watch_over_receivers()
        for _ in range(self._faults.weather.restarts):
            yield self._restart_something()
        for _ in range(self._faults.weather.broker_losses):
            yield self._empty_the_broker()
        for server in self._faults.weather.away:
            yield self._cut_off(server)
        for _ in range(self._faults.weather.clock_steps):
            yield self._set_a_clock()

    async def _cut_off(self, server: str) -> None:
        await asyncio.sleep(self._chance.random())
        self._faults.cut_off(server)

    async def _set_a_clock(self) -> None:
        await asyncio.sleep(5 * self._chance.random())
        if self._faults.on:
            step = self._chance.choice(_CLOCK_STEPS) * self._chance.choice((1, -1))
            clocks = {"the database": self._database_clock, "the processes": self._processes_clock}
            whose = self._chance.choice(sorted(clocks))
            self._tale.tell(f"the clock of {whose} is set by {step.total_seconds():.0f} s")
            clocks[whose].ahead += step
            clocks[whose].steps += 1

    async def _restart_something(self) -> None:
        await asyncio.sleep(5 * self._chance.random())
        if self._faults.on and self._alive:
            process = self._alive[self._chance.choice(list(self._alive))].process
            self._tale.tell(f"{process.name} is told to stop")
            process.stop.set()

    async def _empty_the_broker(self) -> None:
        await asyncio.sleep(5 * self._chance.random())
        if self._faults.on:
            self._world.broker.lose_everything()

    async def _fill_shelves(self) -> list[ProductId]:
        """As `holdfast seed` does, again and again until it is done."""
        stocks = (50,) if self._faults.weather.restored else (0, 2, 5, 50)
        new = [
            NewProduct(id=ProductId(number), name=f"pen {number}", price=Money(100 * number, "EUR"), stock=stock)
            for number, stock in enumerate(self._chance.choices(stocks, k=self._chance.randint(1, 3)), start=1)
        ]
        while not self._world.database.store.products:
            process = Process("seed")
            self._processes.append(process)
            adding = process.begin(House(self._world, process).use_cases.add_products(the_system("seed"), new))
            await ended(adding)
            if not adding.cancelled() and isinstance(adding.exception(), Trouble):
                await asyncio.sleep(0.1)
        return [product.id for product in new if product.id is not None]

    async def _register_receivers(self) -> None:
        """As somebody does who asks again when there is no answer: there may be two endpoints for one receiver then."""
        for new in ENDPOINTS:
            known: set[str] = set()
            while new.url not in known:
                process = Process("register")
                self._processes.append(process)
                adding = process.begin(House(self._world, process).use_cases.add_endpoint(SYSTEM, new))
                await ended(adding)
                known = {each.url for each in self._world.database.store.webhook_endpoints.values()}

    async def _watch_over_receivers(self) -> None:
        """As somebody does who finds one disabled, and lets it go on where it stopped or with what is new."""
        while True:
            await asyncio.sleep(self._chance.random())
            store = self._world.database.store
            for id_ in [each.id for each in store.webhook_endpoints.values() if each.disabled is not None]:
                start = self._chance.choice((WITH_WHAT_IS_NEW, WHERE_IT_STOPPED))
                process = Process("watch")
                self._processes.append(process)
                enable = House(self._world, process).use_cases.enable_endpoint
                enabling = process.begin(enable(SYSTEM, id_, resume_from=start))
                await ended(enabling)
                self._tale.tell(f"webhook endpoint {id_} goes on: {start}")
                if start == WITH_WHAT_IS_NEW:
                    # Whatever the answer was: it may have happened.
                    self._world.receivers.given_up[id_] = self._world.database.store.feed_given

    def _is_accepted(self, order_id: OrderId) -> bool:
        accepted = self._world.broker.accepted
        return order_id in self._world.database.store.orders or any(event.order_id == order_id for event in accepted)

    def _open(self) -> list[House]:
        return [
            house for name, house in self._alive.items() if name.startswith(("api", "up")) and house.process.answers
        ]

    async def _drain(self, what_is_left: Callable[[], Iterator[str]]) -> None:
        for _ in range(round(_DRAINS_WITHIN / _LOOKS_EVERY)):
            left = list(what_is_left())
            if not left:
                return
            await asyncio.sleep(_LOOKS_EVERY)
        self._findings += [f"after {_DRAINS_WITHIN} s, {what}" for what in left]

    def _left(self) -> Iterator[str]:
        store = self._world.database.store
        yield from readers.behind(store, self._readers)
        # After the clock was set back, what is to be sent again waits for as long.
        if not self._database_clock.steps:
            yield from receivers.on_their_way(store)
        if store.outbox:
            yield f"{len(store.outbox)} events are still in the outbox"
        if store.waiting_work:
            yield f"{len(store.waiting_work)} requests still wait for their queue"
        if not self._world.broker.empty:
            yield "messages still wait in the broker"
        for job in store.jobs.values():
            if job.status not in FINISHED:
                yield f"job {job.id} is still {job.status.value}"
        for order in store.orders.values():
            if order.status is OrderStatus.PROCESSING or (order.status is OrderStatus.PENDING and not order.deleted):
                yield f"order {order.id} is still {order.status.value}"
            elif order.refund_requested and order.status is not OrderStatus.REFUNDED:
                yield f"the refund of order {order.id} still waits"

    def _unheard(self) -> Iterator[str]:
        if waiting := self._world.database.store.announcements:
            yield f"{len(waiting)} announcements still wait"

    async def _compare(self) -> None:
        store, broker = self._world.database.store, self._world.broker
        charges = [
            LedgerCharge(entry.key, entry.amount.minor, refunded=entry.refunded)
            for entry in await self._ledger.entries()
            if entry.reference
        ]
        self._findings += checks.shop_data(store, charges)
        if self._faults.weather.restored:
            # What clients and other services were told was lost with what came after the backup.
            return
        queued = self._faults.weather.intake != "direct"
        # An error of a cache is a loss, too: what was to be remembered is not. So is a crash before that.
        weather = self._faults.weather
        is_forgetful = weather.cache_losses > 0 or weather.errors > 0 or bool(self._faults.crashed)
        forgets = queued and is_forgetful and self._diary.prices_changed
        self._findings += checks.promises(store, self._diary, queued=queued, forgets=forgets)
        self._findings += checks.accepted(store, broker.accepted, forgets=forgets)
        self._findings += checks.details(store)
        self._findings += checks.messages(store, self._diary)
        self._findings += checks.exports(store)
        self._findings += checks.bulk(store)
        self._findings += checks.operations(store, self._diary)
        self._findings += checks.reconciliations(store)
        self._findings += checks.imports(store, self._diary)
        self._findings += checks.changes(store, self._diary)
        self._findings += checks.not_found(store, self._diary)
        # An accepted order that is not recorded yet is unknown when the caches lose it.
        if not queued or not self._faults.weather.cache_losses:
            self._findings += checks.unknown(store, self._diary)
        self._findings += checks.keys(store, self._diary, queued=queued, forgets=forgets)
        self._findings += checks.publications(store, broker.announced)
        self._findings += checks.publications(store, broker.heard)
        self._findings += checks.repetitions(broker.heard)
        self._findings += checks.work(store, broker.enqueued)
        self._findings += checks.dead_letters(store, broker.queues.values())
        self._findings += readers.gaps(store, self._readers)
        if not self._database_clock.steps:
            self._findings += receivers.losses(store, self._world.receivers)
            self._findings += receivers.hidden_gaps(store, self._world.receivers)
        compare = CompareWebhooks(MemoryUnitOfWork(store))
        self._findings += [each.what for each in await compare()]
        await self._compare_caches()

    async def _compare_caches(self) -> None:
        # Pages of the catalogue may be this old; an update of a slow cache may take a second.
        await asyncio.sleep(CATALOGUE_AGE + 1)
        store = self._world.database.store
        while not (houses := self._open()):  # noqa: ASYNC110 - the time that passes is simulated
            await asyncio.sleep(1)
        for house in houses:
            kept = await house.process.begin(house.recent_orders.get_many(store.orders.keys()))
            self._findings += [
                f"a cache still has version {order.version} of order {order.id}, which has {store.orders[id_].version}"
                for id_, order in kept.items()
                if order != store.orders[id_]
            ]
            listed = await house.process.begin(house.use_cases.list_products(SYSTEM, limit=50))
            if list(listed) != [each for _, each in sorted(store.products.items()) if each.active]:
                self._findings.append("the listed catalogue is not the one in the database")

    def _hear(self, entry: dict[str, Any]) -> None:
        """Record unexpected errors: programs log them with their traceback."""
        if entry.get("exc_info") is True:
            self._diary.complain(f"logged: {entry}")


def _clear_traceback(task: "asyncio.Task[Any]") -> None:
    """Drop the traceback: it would keep all local variables and the task alive until a garbage collection."""
    try:
        task.exception()
    except asyncio.CancelledError as error:
        error.__traceback__ = None


def _check_commit(diary: Diary, store: MemoryStore, committed: Committed) -> None:
    if committed.catalogue or committed.orders:
        for finding in checks.stock(store):
            diary.complain(f"after a commit, {finding}")


@contextmanager
def _heard(hear: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Print nothing, and pass on every logged error."""

    def swallow(_: object, __: str, entry: dict[str, Any]) -> Any:
        hear(entry)
        raise structlog.DropEvent

    kept = structlog.get_config()
    structlog.configure(
        processors=[swallow],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**kept)
