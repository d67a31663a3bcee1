"""Which alert each fault must fire, within how many seconds, and which it may. All others must stay silent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import aiohttp
from attrs import field, frozen

from adapters.codecs.standard_webhooks import SigningKey
from tests.integration.faults.fault import Break
from tests.integration.faults.house import House
from tests.integration.faults.table import FAULTS
from tests.servers import Process, plain_environment
from tests.servers.packages import find_wrk
from tests.service import until

_OF_THE_TABLE: Final = {fault.name: fault for fault in FAULTS}
# They say that everything is slow, and on a busy machine it is, whatever is broken.
OF_A_SLOW_MACHINE: Final = frozenset({"HoldfastLoopLag", "HoldfastPoolWait", "HoldfastOrdersSlow"})
# A process that starts again, or a server that is slow to, may be noticed for a moment.
_STARTING: Final = frozenset({"HoldfastProcessDown"})
# A relay that starts again waits for the lease that it was killed with.
_RELAY_STARTING: Final = _STARTING | {"HoldfastNoRelayLeads"}


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


@asynccontextmanager
async def _impatient(house: House) -> AsyncIterator[None]:
    """An order that waits for longer than a few seconds is stuck, and there is no worker."""
    await house.start("relay", HOLDFAST_STUCK_AFTER="5s")
    async with _gone(house, name="worker"):
        yield
    await house.start("relay")


@asynccontextmanager
async def _one_connection(house: House) -> AsyncIterator[None]:
    await house.start("api", HOLDFAST_POOL_SIZE="1")
    house.to_postgres.delay = 0.1
    yield
    house.to_postgres.restore()
    await house.start("api")


@asynccontextmanager
async def _stuttering(house: House) -> AsyncIterator[None]:
    api = house.process("api")

    async def stutter() -> None:
        while True:
            await asyncio.to_thread(api.pause)
            await asyncio.sleep(0.6)
            await asyncio.to_thread(api.resume)
            await asyncio.sleep(0.4)

    stuttering = asyncio.create_task(stutter())
    try:
        yield
    finally:
        stuttering.cancel()
        await asyncio.gather(stuttering, return_exceptions=True)
        await asyncio.to_thread(api.resume)


@asynccontextmanager
async def _crowd(house: House) -> AsyncIterator[None]:
    """More readers at once than a process can answer in time."""
    url, script = f"{house.service.url}/products", house.service.folder / "crowd.lua"
    # Each asks again after a moment. If all asked at once again, nothing would be left of the machine for Prometheus.
    script.write_text("function delay() return math.random(200, 600) end\n")
    crowd = Process(
        argv=[
            str(find_wrk()),
            *("--threads", "1", "--connections", "2000", "--duration", "300s", "--timeout", "15s"),
            *("--script", str(script), url),
        ],
        env=plain_environment(),
        log=house.service.folder / "crowd.log",
        cwd=house.service.folder,
    ).start()
    try:
        yield
    finally:
        await asyncio.to_thread(crowd.kill)


@asynccontextmanager
async def _check_of(house: House, *, ago: str) -> AsyncIterator[None]:
    async def move(sign: str) -> None:
        async with house.sql() as connection:
            await connection.execute(
                f"UPDATE consistency_checks SET compared_at = compared_at {sign} interval '{ago}'"  # noqa: S608 - ours
            )

    await move("-")
    yield
    await move("+")


@asynccontextmanager
async def _endpoint(house: House, **wanted: Any) -> AsyncIterator[None]:
    """A receiver of webhooks that is registered meanwhile."""
    async with aiohttp.ClientSession(house.service.url, timeout=aiohttp.ClientTimeout(total=30)) as http:
        async with http.post("/webhook-endpoints", json={"events": ["*"], **wanted}) as made:
            made.raise_for_status()
            path = f"/webhook-endpoints/{(await made.json())['endpoint']['endpoint_id']}"
        try:
            yield
        finally:
            async with http.delete(path) as removed:
                removed.raise_for_status()


@asynccontextmanager
async def _receiver(house: House, answer: str) -> AsyncIterator[str]:
    """Answers each webhook so. It may be reached while the block runs."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await house.start("api", "relay", HOLDFAST_WEBHOOK_ALLOW="127.0.0.1:*")
        yield f"http://127.0.0.1:{port}/"
    await house.start("api", "relay")


@asynccontextmanager
async def _gone_receiver(house: House) -> AsyncIterator[None]:
    async with _receiver(house, "410 Gone") as url, _endpoint(house, url=url):
        yield


@asynccontextmanager
async def _slow_receiver(house: House) -> AsyncIterator[None]:
    """It takes one event a second, so it is behind at once. Nobody waits for an hour: the events are made that old."""
    async with _receiver(house, "204 No Content") as url, _endpoint(house, url=url, rate_per_s=1):

        async def is_behind() -> bool:
            async with house.sql() as connection:
                behind = await connection.fetchval(
                    "SELECT (SELECT given FROM feed_head) - min(position) FROM webhook_progress"
                    " JOIN webhook_endpoints ON id = endpoint_id WHERE deleted_at IS NULL"
                )
            return int(behind or 0) > 100

        await until(is_behind, seconds=120, what="the receiver is behind by more than it takes meanwhile")
        async with house.sql() as connection:
            await connection.execute("UPDATE feed SET given_at = given_at - interval '1 hour'")
        yield


@asynccontextmanager
async def _unsigned(house: House) -> AsyncIterator[None]:
    """The API has the key of the shop, and the relay was started without."""
    await house.start("api", HOLDFAST_WEBHOOK_SIGNING_KEYS=SigningKey.of(b"1" * 32).told())
    async with _endpoint(house, url="https://receiver.invalid/", signature="v1a"):
        yield
    await house.start("api")


# What waits while the database is away, and the relay that can't keep its lease.
_DATABASE: Final = frozenset({"HoldfastOutboxOld", "HoldfastOrdersStuck", "HoldfastNoRelayLeads"})
# A relay that waits for a confirm renews no lease meanwhile; for a minute nobody waits.
_NO_CONFIRM: Final = frozenset({"HoldfastNoRelayLeads"})
# What says that orders are refused, or requests.
_REFUSED: Final = frozenset(
    {"HoldfastOrdersNotAccepted", "HoldfastOrdersNotAcceptedForLong", "HoldfastRequestsFailing"}
)

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
        hold=150,
        # A payment is late after 60 s, which no scale makes shorter.
        fires={"HoldfastProviderFailing": 40, "HoldfastOutcomesUnknown": 60, "HoldfastPaymentsLate": 150},
        may=_STARTING,
    ),
    Row(
        name="Stock is changed by hand, and the consistency check finds it",
        breaking=_stock_changed_by_hand,
        hold=8,
        fires={"HoldfastDiscrepancies": 30},
    ),
    _row(
        "PostgreSQL and RabbitMQ are killed together",
        hold=25,
        may=_DATABASE | _STARTING,
        HoldfastOrdersNotAccepted=25,
        HoldfastOrdersNotAcceptedForLong=25,
        HoldfastRequestsFailing=20,
    ),
    _row("PostgreSQL is slow: 200 ms a round trip", hold=20, may=_DATABASE | _REFUSED, HoldfastOrdersSlow=20),
    Row(
        name="PostgreSQL is slow, and the API has one connection to it",
        breaking=_one_connection,
        hold=40,
        fires={"HoldfastPoolWait": 40},
        may=_DATABASE | _STARTING | _REFUSED,
    ),
    Row(
        name="The API stands still for most of each second",
        breaking=_stuttering,
        hold=40,
        fires={"HoldfastLoopLag": 40},
        may=_STARTING | _REFUSED,
    ),
    Row(
        name="2,000 readers ask at once",
        breaking=_crowd,
        hold=40,
        fires={"HoldfastLoadShed": 40},
        # Orders are shed among the rest, and a process that is so busy may be scraped too late.
        may=_STARTING | _REFUSED,
    ),
    Row(
        name="The only worker is killed, and orders are stuck after 5 s",
        breaking=_impatient,
        hold=30,
        fires={"HoldfastOrdersStuck": 30, "HoldfastProcessDown": 10},
        may=_RELAY_STARTING,
    ),
    Row(
        name="The last consistency check was long ago",
        breaking=partial(_check_of, ago="5 hours"),
        hold=140,
        fires={"HoldfastCheckMissing": 140},
    ),
    Row(
        name="A receiver of webhooks is slow, and an hour behind",
        breaking=_slow_receiver,
        hold=30,
        fires={"HoldfastWebhooksLate": 30},
        may=_RELAY_STARTING,
    ),
    Row(
        name="A receiver of webhooks answers 410",
        breaking=_gone_receiver,
        hold=15,
        fires={"HoldfastWebhooksDisabled": 15},
        may=_RELAY_STARTING,
    ),
    Row(
        name="A relay is started without the key that webhooks are signed with",
        breaking=_unsigned,
        hold=20,
        fires={"HoldfastWebhooksUnsigned": 20},
        may=_STARTING,
    ),
)
