import asyncio

import pytest

from application.errors import Unavailable
from entrypoints import loops as waiting


async def test_an_outage_of_any_length_ends_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0)
    stop, failures = asyncio.Event(), 0

    async def step() -> float:
        nonlocal failures
        failures += 1
        if failures > 1100:
            stop.set()
        raise Unavailable("the server is gone")

    async with asyncio.timeout(60):
        await waiting.repeat(step, stop, name="test")


async def test_a_step_that_fails_in_an_unknown_way_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0)
    stop, taken = asyncio.Event(), []

    async def step() -> float:
        taken.append(len(taken))
        if len(taken) == 2:
            stop.set()
            return 0
        raise RuntimeError("an unexpected error")

    async with asyncio.timeout(60):
        await waiting.repeat(step, stop, name="test")
    assert taken == [0, 1]


async def test_a_stop_ends_the_wait_but_not_the_step() -> None:
    stop, finished = asyncio.Event(), []

    async def step() -> float:
        stop.set()
        await asyncio.sleep(0)
        finished.append("step")
        return 60

    async with asyncio.timeout(60):
        await waiting.repeat(step, stop, name="test")
    assert finished == ["step"]


async def test_work_that_ends_before_the_stop_has_a_result() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    stop = waiting.Stop()
    async with asyncio.timeout(60):
        assert await stop.until_first(work()) == "done"
        stop.set()
        await asyncio.sleep(0.01)


async def test_a_stop_ends_the_work_and_what_it_holds_is_let_go_of_first() -> None:
    stop, let_go = waiting.Stop(), []

    async def work() -> str:
        asyncio.get_running_loop().call_soon(stop.set)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            let_go.append("all")
        return "done"

    async with asyncio.timeout(60):
        assert await stop.until_first(work()) is None
    assert let_go == ["all"]


async def test_a_stop_ends_all_that_waits_however_often_it_is_told() -> None:
    stop, let_go = waiting.Stop(), []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            # Once more, while those who wait are on their way out.
            stop.set()
            let_go.append(name)

    async with asyncio.timeout(60):
        working = [asyncio.create_task(stop.until_first(work(name))) for name in ("first", "second")]
        await asyncio.sleep(0)
        stop.set()
        stop.set()
        assert await asyncio.gather(*working) == [None, None]
    assert let_go == ["first", "second"]


async def test_nothing_is_waited_for_after_the_stop() -> None:
    stop = waiting.Stop()
    stop.set()
    async with asyncio.timeout(60):
        assert await stop.until_first(asyncio.Event().wait()) is None


async def test_work_that_ran_out_of_its_own_time_fails() -> None:
    async def work() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await waiting.Stop().until_first(work())


async def test_work_that_is_cancelled_is_cancelled_and_not_stopped() -> None:
    begun, ended = asyncio.Event(), []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async with asyncio.timeout(60):
        task = asyncio.create_task(waiting.Stop().until_first(work()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended == ["work"]


async def test_a_turn_lasts_as_long_as_its_block() -> None:
    lock = asyncio.Lock()
    async with asyncio.timeout(60):
        async with waiting.Turn(lock) as turn:
            turn.end_after(60)
            assert lock.locked()
        async with waiting.Turn(lock):
            assert lock.locked()
    assert not lock.locked()


async def test_a_turn_that_takes_too_long_ends_before_its_block_and_leaves_the_next_one_alone() -> None:
    lock = asyncio.Lock()
    async with asyncio.timeout(60):
        async with waiting.Turn(lock) as slow:
            slow.end_after(0)
            next_one = waiting.Turn(lock)
            await next_one.__aenter__()
        assert lock.locked()
        await next_one.__aexit__()
    assert not lock.locked()


async def test_a_turn_ends_when_its_block_fails() -> None:
    lock = asyncio.Lock()

    async def fail() -> None:
        async with waiting.Turn(lock):
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert not lock.locked()
