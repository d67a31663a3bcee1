import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import define, field

from application.errors import OutcomeUnknown, Unavailable
from application.execution.concurrency import at_most, until_unavailable
from tests.unit.provider import Crash


@define(eq=False)
class Calls:
    """Calls that take some turns of the event loop, also to be cancelled. The one with the number `fails` raises."""

    fails: int
    error: BaseException
    running: set[int] = field(factory=set)
    finished: list[int] = field(factory=list)

    async def __call__(self, number: int) -> int:
        self.running.add(number)
        try:
            await asyncio.sleep(0)
            if number == self.fails:
                raise self.error
            for _ in range(5):
                await asyncio.sleep(0)
            self.finished.append(number)
            return number
        finally:
            try:
                # As of a driver that tells its server to forget the call.
                for _ in range(3):
                    await asyncio.sleep(0)
            finally:
                self.running.discard(number)


async def test_results_are_in_the_order_of_the_items() -> None:
    calls = Calls(-1, Crash())
    assert await at_most(3, calls, range(10)) == list(range(10))


@pytest.mark.parametrize("error", [LookupError("a surprise"), OutcomeUnknown("no answer")], ids=repr)
@pytest.mark.parametrize("fails", [0, 2, 9])
@pytest.mark.parametrize("limit", [1, 3, 64])
async def test_nothing_runs_any_more_when_an_error_is_raised(error: Exception, fails: int, limit: int) -> None:
    calls = Calls(fails, error)
    with pytest.raises(type(error)):
        await at_most(limit, calls, range(10))
    assert calls.running == set()
    finished = list(calls.finished)
    for _ in range(30):
        await asyncio.sleep(0)
    assert calls.finished == finished


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("times", [1, 2])
async def test_nothing_runs_any_more_when_the_caller_was_cancelled(turns: int, times: int) -> None:
    calls = Calls(-1, Crash())
    task = asyncio.create_task(at_most(3, calls, range(10)))
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await asyncio.wait([task])
    assert task.cancelled()
    assert calls.running == set()


def outcome(work: Callable[[int], Awaitable[int]]) -> Callable[[int], Awaitable[Any]]:
    async def told(number: int) -> int | Exception:
        try:
            return await work(number)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    return told


@pytest.mark.parametrize("limit", [1, 3])
async def test_a_server_that_is_gone_is_asked_no_more(limit: int) -> None:
    gone = Unavailable("gone")
    calls = Calls(2, gone)
    outcomes = await at_most(limit, outcome(until_unavailable(calls)), range(100))
    assert outcomes[:2] == [0, 1]
    assert calls.finished == [number for number, told in enumerate(outcomes) if told == number]
    assert len(calls.finished) < 2 + limit
    assert all(told is gone for told in outcomes[len(calls.finished) + 1 :])


async def test_an_answer_that_did_not_come_stops_no_other_call() -> None:
    no_answer = OutcomeUnknown("no answer")
    outcomes = await at_most(1, outcome(until_unavailable(Calls(2, no_answer))), range(5))
    assert outcomes == [0, 1, no_answer, 3, 4]
