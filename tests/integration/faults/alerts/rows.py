"""Which alert each fault must fire, within how many seconds, and which it may. All others must stay silent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from tests.integration.faults.fault import Break
from tests.integration.faults.house import House
from tests.integration.faults.table import FAULTS

_OF_THE_TABLE: Final = {fault.name: fault for fault in FAULTS}
# They say that everything is slow, and on a busy machine it is, whatever is broken.
OF_A_SLOW_MACHINE: Final = frozenset({"HoldfastLoopLag", "HoldfastPoolWait", "HoldfastOrdersSlow"})
# A process that starts again, or a server that is slow to, may be noticed for a moment.
_STARTING: Final = frozenset({"HoldfastProcessDown"})


@frozen(kw_only=True)
class Row:
    name: str
    breaking: Break
    # Seconds for which it stays broken.
    hold: float
    # Seconds from when it is broken. How long it takes to break it is not the alert's concern.
    fires: Mapping[str, float] = field(factory=dict, converter=MappingProxyType)
    may: frozenset[str] = frozenset()


def _row(name: str, *, hold: float, may: frozenset[str] = frozenset(), **fires: float) -> Row:
    """A row of the table of faults that holds for longer, so that what needs minutes has them."""
    return Row(name=name, breaking=_OF_THE_TABLE[name].breaking, hold=hold, fires=fires, may=may)


@asynccontextmanager
async def _gone(house: House, *, name: str) -> AsyncIterator[None]:
    await asyncio.to_thread(house.process(name).kill)
    yield
    await house.start(name)


@asynccontextmanager
async def _stock_changed_by_hand(house: House) -> AsyncIterator[None]:
    async def change(units: int) -> None:
        async with house.sql() as connection:
            await connection.execute("UPDATE products SET stock = stock + $1 WHERE id = $2", units, house.products[0])
        await asyncio.to_thread(house.service.try_to_run, "reconcile", seconds=120)

    await change(1)
    yield
    await change(-1)


@asynccontextmanager
async def _provider(house: House, **settings: str) -> AsyncIterator[None]:
    await house.start("worker", **settings)
    yield
    await house.start("worker")


# What waits while the database is away, and the relay that can't keep its lease.
_DATABASE: Final = frozenset({"HoldfastOutboxOld", "HoldfastOrdersStuck", "HoldfastNoRelayLeads"})
# A relay that waits for a confirm renews no lease meanwhile; for a minute nobody waits.
_NO_CONFIRM: Final = frozenset({"HoldfastNoRelayLeads"})

ROWS: Final = (
    _row("PostgreSQL is down for 5 s", hold=20, may=_DATABASE, HoldfastRequestsFailing=18),
    _row("PostgreSQL is frozen for 5 s", hold=20, may=_DATABASE | _STARTING, HoldfastRequestsFailing=20),
    _row("PostgreSQL is read-only", hold=20, may=_DATABASE, HoldfastRequestsFailing=20),
    _row("RabbitMQ is killed (kill -9) and down for 4 s", hold=20, HoldfastOutboxOld=18),
    _row("RabbitMQ is frozen for 5 s", hold=20, may=_NO_CONFIRM, HoldfastOutboxOld=18),
    _row("RabbitMQ has a memory alarm", hold=20, may=_NO_CONFIRM, HoldfastOutboxOld=18),
    _row("RabbitMQ has a disk alarm", hold=20, may=_NO_CONFIRM, HoldfastOutboxOld=18),
    _row("Confirms never come", hold=20, may=_NO_CONFIRM, HoldfastOutboxOld=18),
    _row("Rubbish stands among the requests", hold=8, HoldfastDeadLetters=8),
    _row("Each request comes eleven times", hold=5),
    _row("Redis is killed and down for 4 s", hold=10),
    _row("Redis is emptied, 30 times", hold=5),
    _row("Redis is frozen for 5 s", hold=10),
    _row("The API is frozen for 5 s", hold=10, HoldfastProcessDown=10),
    _row("One of two workers is killed for good", hold=8, HoldfastProcessDown=12),
    _row("Three workers run at once", hold=8, may=_STARTING),
    _row("Three relays run at once", hold=8, may=_STARTING),
    Row(
        name="The only relay is killed",
        breaking=partial(_gone, name="relay"),
        hold=10,
        fires={"HoldfastNoRelayLeads": 10, "HoldfastProcessDown": 10},
        may=frozenset({"HoldfastOutboxOld"}),
    ),
    Row(
        name="The only worker is killed",
        breaking=partial(_gone, name="worker"),
        hold=10,
        fires={"HoldfastProcessDown": 10},
    ),
    Row(
        name="The only API is killed",
        breaking=partial(_gone, name="api"),
        hold=10,
        fires={"HoldfastProcessDown": 10},
    ),
    Row(
        name="The provider fails at half of the calls, and leaves half of those without an answer",
        breaking=partial(_provider, HOLDFAST_GATEWAY_FAILURE_RATE="0.5"),
        hold=60,
        fires={"HoldfastOutcomesUnknown": 60},
        # Half is what it fires above.
        may=frozenset({"HoldfastProviderFailing", *_STARTING}),
    ),
    Row(
        name="The provider fails at each call",
        breaking=partial(_provider, HOLDFAST_GATEWAY_FAILURE_RATE="1"),
        hold=60,
        fires={"HoldfastProviderFailing": 40, "HoldfastOutcomesUnknown": 60},
        may=_STARTING,
    ),
    Row(
        name="Stock is changed by hand, and the consistency check finds it",
        breaking=_stock_changed_by_hand,
        hold=8,
        fires={"HoldfastDiscrepancies": 30},
    ),
)
