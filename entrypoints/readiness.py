"""Whether this process can take orders, and whether their payments go on: tested, and not only asked.

All callers within a second get the same answer, of one test. The test has connections of its own, which stay open, so
that it takes none from requests. Anybody may call, so the answer names the missing parts and nothing else. The log says
why they are missing, and `holdfast doctor` what to do.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
from attrs import define, field, frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.health import expect_writable
from adapters.sql.heartbeats import SqlHeartbeats
from application.errors import Trouble, Unavailable
from application.messaging.subscriptions import INTAKE
from entrypoints.database import open_engine
from entrypoints.heartbeat import missing
from entrypoints.room import expect_room
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from adapters.rabbitmq.probe import BrokerProbe
    from adapters.redis.client import GuardedRedis

_log: Final = structlog.get_logger("holdfast.readiness")

# In seconds: how long an answer is good for, and how long a test of one server may take.
_GOOD_FOR: Final = 1.0
_TIMEOUT: Final = 2.5
# Seconds that the test's transaction waits for others. It writes a row of its own.
_LOCK_TIMEOUT: Final = 1.0
# Seconds between two tests of the disk, while it has room.
_ROOM_EVERY: Final = 10.0

DATABASE: Final = "database"
BROKER: Final = "broker"
CACHE: Final = "cache"


@frozen
class Readiness:
    """Whether orders can be taken here, whether their payments go on, and the names of what is missing."""

    orders: bool
    payments: bool
    missing: tuple[str, ...]


CheckReadiness = Callable[[], Awaitable[Readiness]]


@define(eq=False)
class SharedCheck:
    """Runs one check at a time for all who ask, and repeats its answer for a second."""

    _check: CheckReadiness
    _good_for: float = _GOOD_FOR
    _answer: Readiness | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _checking: "asyncio.Task[Readiness] | None" = field(default=None, init=False)

    async def __call__(self) -> Readiness:
        if self._answer is not None and asyncio.get_running_loop().time() < self._until:
            return self._answer
        if self._checking is None:
            self._checking = asyncio.create_task(self._run())
        # One who hangs up does not end the check of the others.
        return await asyncio.shield(self._checking)

    async def _run(self) -> Readiness:
        try:
            self._answer = await self._check()
            self._until = asyncio.get_running_loop().time() + self._good_for
            return self._answer
        finally:
            self._checking = None


@asynccontextmanager
async def open_readiness(settings: Settings, redis: "GuardedRedis | None") -> AsyncGenerator[CheckReadiness, None]:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(settings, lock_timeout=_LOCK_TIMEOUT, pool_size=1))
        probe = None
        if settings.amqp_url:
            from adapters.rabbitmq.probe import BrokerProbe  # noqa: PLC0415 - imported only where RabbitMQ is
            from adapters.rabbitmq.topology import Topology  # noqa: PLC0415 - as above

            probe = BrokerProbe(settings.amqp_url, Topology(settings.namespace))
            stack.push_async_callback(probe.close)
        yield SharedCheck(_Abilities(settings, engine, probe, redis).check)


@define(eq=False)
class _Abilities:
    _settings: Settings
    _engine: AsyncEngine
    _probe: "BrokerProbe | None"
    _redis: "GuardedRedis | None"
    # Until when the disk needs no test.
    _room_until: float = field(default=0.0, init=False)
    # What was missing at the last check, so that each change is logged once.
    _told: dict[str, str] = field(factory=dict, init=False)

    async def check(self) -> Readiness:
        """Never raise."""
        database, processes, broker, cache = await asyncio.gather(
            _tried(self._database()), _tried(self._processes()), _tried(self._broker()), _tried(self._cache())
        )
        problems = {**_named(DATABASE, database), **_named(CACHE, cache)}
        problems |= broker if isinstance(broker, dict) else _named(BROKER, broker)
        problems |= processes if isinstance(processes, dict) else {}
        self._tell(problems)
        can_queue = self._settings.intake != "direct" and not {BROKER, f"queue {INTAKE.name}"} & problems.keys()
        return Readiness(
            orders=DATABASE not in problems or can_queue,
            payments=not problems.keys() - {CACHE},
            missing=tuple(sorted(problems)),
        )

    async def _database(self) -> None:
        await expect_writable(self._engine)
        now = asyncio.get_running_loop().time()
        if now >= self._room_until:
            await expect_room(self._settings, self._engine)
            self._room_until = now + _ROOM_EVERY

    async def _processes(self) -> dict[str, str]:
        return dict.fromkeys(missing(await SqlHeartbeats(self._engine).all()), "none is at work")

    async def _broker(self) -> dict[str, str]:
        if self._probe is None:
            return {}
        return await self._probe.check()

    async def _cache(self) -> None:
        if self._redis is not None and await self._redis.read("PING") is None:
            raise Unavailable("Redis is not used: it did not answer")

    def _tell(self, problems: dict[str, str]) -> None:
        for name, problem in problems.items():
            if name not in self._told:
                _log.warning("an ability is missing", missing=name, reason=problem)
        for name in self._told.keys() - problems.keys():
            _log.info("an ability is back", ability=name)
        self._told = problems


def _named(name: str, outcome: object) -> dict[str, str]:
    return {name: outcome} if isinstance(outcome, str) else {}


async def _tried(test: Awaitable[dict[str, str] | None]) -> dict[str, str] | str | None:
    """The result of the test, or why it failed."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await test
    except TimeoutError:
        return f"no answer within {_TIMEOUT:g} s"
    except Trouble as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a server says, it is not able
        return f"{type(error).__name__}: {error}"
