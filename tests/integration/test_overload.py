"""More requests than can be answered. How many are answered in time, `./dev bench overload` measures."""

import asyncio
import json
import resource
from collections import Counter
from collections.abc import Iterator

import pytest

from bench.open_loop import Load, post, run
from tests.service import Service, until

# Seconds.
PATIENCE = 120.0


@pytest.fixture
def room_for_connections() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def service(stopped: Service, room_for_connections: None) -> Service:
    return stopped


async def test_overload_is_refused_in_words_and_passes_by_itself(service: Service) -> None:
    await asyncio.to_thread(service.start_all, ["api" if "AMQP_URL" in service.settings else "up"])
    product = await asyncio.to_thread(service.add_product, stock=10_000_000)
    body = json.dumps({"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}).encode()

    async def ask(rate: float, *, seconds: float) -> Counter[int]:
        load = Load(
            port=service.port,
            rate=lambda _: rate,
            seconds=seconds,
            request=lambda _: post("/orders", body),
            # More than may be in progress at once: who waits for a connection has not come to the service yet.
            connections=4000,
            timeout=PATIENCE,
        )
        return (await asyncio.to_thread(run, load)).by_status()

    async def is_as_before() -> bool:
        return (await ask(20, seconds=1)).keys() == {201}

    rate, outcomes = 1_500.0, await ask(1_500.0, seconds=3)
    while not outcomes[503]:
        rate *= 2
        outcomes += await ask(rate, seconds=3)
    # None is reset, and none left without an answer.
    assert outcomes.keys() <= {201, 202, 503}, outcomes
    assert outcomes[201] + outcomes[202]
    await until(is_as_before, seconds=PATIENCE, what="every request is answered as before")
    assert await service.findings() == []
