import asyncio

import pytest

from application.ports import Unavailable
from entrypoints import waiting


async def test_an_outage_of_any_length_ends_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0)
    stop, failures = asyncio.Event(), 0

    async def step() -> float:
        nonlocal failures
        failures += 1
        if failures > 1100:
            stop.set()
        raise Unavailable("the server is gone")

    async with asyncio.timeout(5):
        await waiting.repeat(step, stop, name="test")


async def test_a_step_that_fails_in_an_unknown_way_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0)
    stop, taken = asyncio.Event(), []

    async def step() -> float:
        taken.append(len(taken))
        if len(taken) == 2:
            stop.set()
            return 0
        raise RuntimeError("nobody knows")

    async with asyncio.timeout(5):
        await waiting.repeat(step, stop, name="test")
    assert taken == [0, 1]


async def test_a_stop_ends_the_wait_but_not_the_step() -> None:
    stop, finished = asyncio.Event(), []

    async def step() -> float:
        stop.set()
        await asyncio.sleep(0)
        finished.append("step")
        return 60

    async with asyncio.timeout(5):
        await waiting.repeat(step, stop, name="test")
    assert finished == ["step"]
