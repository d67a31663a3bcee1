"""Three times as many requests as can be answered: those that are answered are answered in time."""

import asyncio
import json
import resource
from collections.abc import Iterator

import pytest

from bench.open_loop import GIVEN_UP, RESET, Load, Result, post, run
from tests.service import Service

# Twice as long as clients wait, and below half of the peak: the tests share their machine with servers and other tests.
DEADLINE = 2.0
SHARE = 0.4


@pytest.fixture
def room_for_connections() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(params=["embedded", "on_servers"])
def service(request: pytest.FixtureRequest, room_for_connections: None) -> Service:
    service: Service = request.getfixturevalue(request.param)
    return service


async def test_overload_costs_little_of_what_could_be_done_and_passes_by_itself(service: Service) -> None:
    await asyncio.to_thread(service.start_all, ["api" if "AMQP_URL" in service.settings else "up"])
    product = await asyncio.to_thread(service.add_product, stock=10_000_000)
    body = json.dumps({"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}).encode()

    async def ask(*rates: float, seconds: float) -> Result:
        """Ask at each of these rates for so many seconds."""
        load = Load(
            port=service.port,
            rate=lambda t: rates[min(int(t / seconds), len(rates) - 1)],
            seconds=seconds * len(rates),
            request=lambda _: post("/orders", body),
            # More than may be in progress at once: who waits for a connection has not come to the service yet.
            connections=4000,
            timeout=10.0,
        )
        return await asyncio.to_thread(run, load)

    async def goodput(rate: float) -> float:
        return (await ask(rate, seconds=4)).good(within=DEADLINE / 2) / 4

    # The first requests of a process find nothing compiled, connected or cached.
    await ask(50, seconds=2)
    rate, reached = 200.0, [await goodput(200.0)]
    while reached[-1] > 0.7 * rate:
        rate *= 2
        reached.append(await goodput(rate))
    peak = max(reached)

    quiet = peak / 4
    result = await ask(quiet, 3 * peak, 3 * peak, quiet, quiet, quiet, quiet, seconds=3)
    # Others may have come to the machine meanwhile: what could be done is what can be done before and after.
    peak = min(peak, await goodput(peak))
    during, after = result.between(3, 9), result.between(19, 21)
    outcomes = during.by_status()

    assert during.good(within=DEADLINE) / 6 > SHARE * peak, outcomes
    assert outcomes.keys() <= {201, 202, 503, GIVEN_UP}, outcomes
    assert outcomes[GIVEN_UP] < 0.01 * outcomes.total()
    assert not outcomes[503] or during.percentile(0.9, (503,)) < DEADLINE
    # Ten seconds after its end the overload must have left no trace.
    assert after.by_status().keys() == {201}
    assert after.good(within=DEADLINE) > 0.95 * len(after.due)
    assert RESET not in result.by_status()
    assert await service.findings() == []
