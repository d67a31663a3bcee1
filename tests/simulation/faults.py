import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from random import Random
from typing import Any, Final, TypeVar

from attrs import define, evolve, field, frozen

from application.ports import Aborted, Unavailable
from tests.simulation.loop import GROUP
from tests.simulation.points import CRASH_POINTS

T = TypeVar("T")


# What few runs come to by themselves.
_LEADS_TO: Final[dict[str, dict[str, Any]]] = {
    "outbox.put_back": {"embedded": True, "errors": 0.04, "restarts": 8},
    "outbox.release": {"restarts": 5},
    "orders.page": {},
    "gateway.refund": {"declines": 0.0},
    "queue.later": {"errors": 0.15},
    "queue.set_aside": {"poison": 0.9},
    "dead_letter_queue.receive": {"poison": 0.9},
    "dead_letter_queue.done": {"poison": 0.9},
    "dead_letters.record": {"poison": 0.9},
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
    hang_ups: float
    cache_losses: float
    slow_caches: float
    broker_losses: int
    restarts: int
    crashes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, seed: int, chance: Random) -> "Weather":
        # Each point has its turn, in a weather that leads there; the other crashes may be anywhere.
        own = CRASH_POINTS[seed % len(CRASH_POINTS)]
        others = [chance.choice(CRASH_POINTS) for _ in range(chance.choice((0, 1, 3, 5)))]
        weather = cls(
            embedded=chance.random() < 0.25,
            errors=chance.choice((0.0, 0.01, 0.04)),
            yields=chance.choice((0.02, 0.1, 0.3)),
            pauses=chance.choice((0.0, 0.02, 0.05)),
            declines=chance.choice((0.0, 0.3)),
            unconfirmed=chance.choice((0.0, 0.0, 0.1)),
            duplicates=chance.choice((0.0, 0.05, 0.3)),
            redeliveries=chance.choice((0.0, 0.0, 0.1)),
            poison=chance.choice((0.0, 0.0, 0.2)),
            hang_ups=chance.choice((0.0, 0.1)),
            cache_losses=chance.choice((0.0, 0.0, 0.01)),
            slow_caches=chance.choice((0.0, 0.0, 0.2)),
            broker_losses=chance.choice((0, 0, 0, 3)),
            restarts=chance.choice((0, 0, 1, 3)),
            # As many visits of the point are left in peace before the process ends there.
            crashes=(
                *((point, chance.choice((0, 0, 0, 1, 3))) for point in others),
                (own, 0 if own.split()[0] in _LEADS_TO else chance.choice((0, 0, 1))),
            ),
        )
        return evolve(weather, **_LEADS_TO.get(own.split()[0], {}))


@define(eq=False)
class Process:
    """One life of a program. When it has crashed, its tasks end at their next step and reach nothing any more."""

    name: str
    tasks: list["asyncio.Task[Any]"] = field(factory=list, repr=False)
    stop: asyncio.Event = field(factory=asyncio.Event, repr=False)
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
    """Decides at each call of a port what becomes of it, and remembers where processes crashed."""

    weather: Weather
    chance: Random
    tell: Callable[[str], None]
    on: bool = True
    reached: Counter[str] = field(factory=Counter)
    crashed: Counter[str] = field(factory=Counter)
    _crashes: dict[str, int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._crashes = dict(self.weather.crashes)

    def happens(self, rate: float) -> bool:
        return self.on and rate > 0 and self.chance.random() < rate

    def cross(self, process: Process, point: str) -> None:
        """Pass a point without waiting. A process that crashes here is cancelled, as is one that did so before."""
        if process.dead:
            raise asyncio.CancelledError(f"{process.name} has crashed")
        if self.on and point in self._crashes:
            self._crashes[point] -= 1
            if self._crashes[point] < 0:
                del self._crashes[point]
                self.crashed[point] += 1
                self.tell(f"{process.name} crashes: {point}")
                process.end()
                raise asyncio.CancelledError(f"{process.name} crashes")

    async def wait(self, process: Process) -> None:
        """Let others go first, or some time pass, or nothing of that."""
        drawn = self.chance.random()
        if self.on and drawn < self.weather.pauses:
            await asyncio.sleep(self.chance.random())
        elif drawn < self.weather.yields:
            await asyncio.sleep(0)
        if process.dead:
            raise asyncio.CancelledError(f"{process.name} has crashed")

    async def call(
        self,
        process: Process,
        call: str,
        effect: Callable[[], Awaitable[T]],
        *,
        before: tuple[type[Exception], ...] = (),
        after: tuple[type[Exception], ...] = (),
    ) -> T:
        """Make a call of a port: it may fail, or its process crash, before the effect or after it."""
        self.cross(process, f"{call} before")
        await self.wait(process)
        self.fail(process, before, f"{call} before")
        result = await effect()
        self.cross(process, f"{call} after")
        self.fail(process, after, f"{call} after")
        return result

    def fail(self, process: Process, errors: tuple[type[Exception], ...], point: str) -> None:
        if errors and self.happens(self.weather.errors):
            error = self.chance.choice(errors)
            self.tell(f"{process.name} is told {error.__name__}: {point}")
            raise error(f"simulated: {point}")


NOTHING_HAPPENED = (Aborted,)
NO_ANSWER = (Unavailable,)
EITHER = (Aborted, Unavailable)
