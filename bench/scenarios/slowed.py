"""A slow payment provider: how long an order waits for others, and how many are charged at once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import uvloop
from uuid_utils.compat import uuid7

from adapters.sql.unit_of_work import SqlUnitOfWork
from application.intake.order_request import NumberRequests, OrderRequest, RequestedItem
from application.intake.place_order import PlaceOrder
from bench.aims import at_least, at_most
from bench.measure import Measured, Usage, Window
from bench.open_loop import Load as Asked
from bench.open_loop import Result as Answers
from bench.open_loop import post, run
from bench.options import Options, machine
from bench.result import KEPT, Result
from bench.scenarios.living import PROGRAMS
from bench.shops import PRODUCTS, Servers, Shop, engine_of, open_servers, open_shop
from bench.usage import memory_by_process
from bench.wrk import Latencies, Load
from domain.ids import OrderId, ProductId, UserId
from domain.orders.order import Order
from tests.servers import wait_until

_PAID_A_SECOND: Final = 100.0
# Seconds that a call to the provider takes, evenly spread.
_SLOW: Final = (0.01, 10.0)
# More calls at once than are ever needed, so that only the provider is slow.
_ENOUGH: Final = 1_000
# For the throughput: the provider takes a fifth of that time, and half of the charges that are asked for may run.
_QUICKER: Final = (0.01, 2.0)
_FEW: Final = 50
# The first charges are not ended in this time, so it is left out.
_FILLING_SECONDS: Final = _QUICKER[1]
_ACCEPTED: Final = 202
_DRAIN_SECONDS: Final = 180.0
_HOW: Final = (
    f"{_PAID_A_SECOND:g} requests to pay a second; the provider takes {_SLOW[0] * 1000:g} ms to {_SLOW[1]:g} s, and the"
    " time to PAID is that between the two events of an order"
)


def slow(options: Options) -> Result:
    """Orders are paid for while the provider takes 10 ms to 10 s, and no order waits for the charge of another."""
    with open_servers() as servers:
        window, waits, answers, memory, versions, findings = _waits(servers, options)
        charged_per_s, more_findings = _throughput(servers, options)
    measured, own = Measured([window]), _mean(_SLOW)
    p50, possible = waits.percentile(50), _FEW / _mean(_QUICKER)
    return Result(
        scenario="slow",
        about="",
        seconds=options.seconds,
        orders=0,
        accepted_per_s=measured.accepted_per_s,
        completed_per_s=measured.completed_per_s,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=p50,
        p99_ms=waits.percentile(99),
        p999_ms=waits.percentile(99.9),
        refused_or_broken=len(answers.status) - answers.by_status()[_ACCEPTED],
        cpu_ms_per_order=measured.cpu_ms_each,
        cores_busy=measured.cores_busy,
        memory_mb=memory,
        figures={
            # Evenly spread, so the median is the mean.
            "provider_p50_ms": 1000 * own,
            "p50_of_the_providers_own": p50 / (1000 * own),
            "max_charges": float(_FEW),
            "charged_per_s": charged_per_s,
            "possible_per_s": possible,
            "how": _HOW,
        },
        invariants="; ".join(findings + more_findings) or KEPT,
        reach=[
            at_most("p50 to PAID, of the provider's own", p50 / (1000 * own), 1.2, " x"),
            at_least(f"charges, of {_FEW} at once", charged_per_s / possible, 0.9, " x"),
        ],
        machine=machine(versions),
    )


def _waits(
    servers: Servers, options: Options
) -> tuple[Window, Latencies, Answers, dict[str, float], dict[str, str], list[str]]:
    settings = servers.settings("shop") | _provider(_SLOW, _ENOUGH)
    with open_shop(PROGRAMS, settings, servers=servers, orders=0, say=options.say) as shop:
        ids = uvloop.run(_place(shop, round(_PAID_A_SECOND * options.seconds)))
        options.say("paying")
        before = Usage.of(shop)
        answers = _pay(shop, ids, options.seconds)
        _all_paid(shop)
        after = Usage.of(shop)
        waits = Latencies.of_each([1000 * each for each in shop.data.seconds_to_paid()])
        load = Load(requests=len(ids), seconds=options.seconds, latencies=waits)
        window = Window.between(before, after, load=load, completed=len(ids), seconds=after.at - before.at)
        return window, waits, answers, memory_by_process(shop.pids), shop.versions(), shop.data.findings()


def _throughput(servers: Servers, options: Options) -> tuple[float, list[str]]:
    """Charges a second while more wait than may run: from when the first have ended until the last requests are due."""
    settings = servers.settings("busy_shop") | _provider(_QUICKER, _FEW)
    seconds = _FILLING_SECONDS + options.seconds
    with open_shop(PROGRAMS, settings, servers=servers, orders=0, say=options.say) as shop:
        ids = uvloop.run(_place(shop, round(_PAID_A_SECOND * seconds)))
        options.say("paying for more than can be charged")
        began = _now()
        _pay(shop, ids, seconds)
        _all_paid(shop)
        start, end = began + timedelta(seconds=_FILLING_SECONDS), began + timedelta(seconds=seconds)
        return shop.data.paid_between(start, end) / options.seconds, shop.data.findings()


def _provider(seconds: tuple[float, float], max_charges: int) -> dict[str, str]:
    least, most = (f"{1000 * each:g}ms" for each in seconds)
    return {"HOLDFAST_GATEWAY_DELAY": f"{least}-{most}", "HOLDFAST_MAX_CHARGES": str(max_charges)}


def _mean(seconds: tuple[float, float]) -> float:
    return sum(seconds) / 2


async def _place(shop: Shop, count: int) -> list[OrderId]:
    """Place orders in the database, so that what is asked of the API is only to pay."""
    async with engine_of(shop.service) as engine:
        place, number = PlaceOrder(SqlUnitOfWork(engine)), NumberRequests(uuid7, _now)
        wanted = [OrderRequest(UserId(1), (RequestedItem(ProductId(1 + each % PRODUCTS), 1),)) for each in range(count)]
        placed = await place([number(each) for each in wanted])
    return [order.id for order in placed if isinstance(order, Order)]


def _pay(shop: Shop, ids: Sequence[OrderId], seconds: float) -> Answers:
    return run(
        Asked(
            port=shop.service.port,
            rate=lambda _: _PAID_A_SECOND,
            seconds=seconds,
            request=lambda number: post(f"/orders/{ids[number % len(ids)]}/pay", b"{}"),
            connections=50,
        )
    )


def _all_paid(shop: Shop) -> None:
    # The payments of requests that are still in the outbox have not begun.
    wait_until(lambda: not shop.data.unsent(), seconds=_DRAIN_SECONDS, what="every event was sent")
    wait_until(lambda: not shop.data.processing(), seconds=_DRAIN_SECONDS, what="every order is paid for")
    wait_until(lambda: not shop.data.unsent(), seconds=_DRAIN_SECONDS, what="every event was sent")


def _now() -> datetime:
    return datetime.now(UTC)
