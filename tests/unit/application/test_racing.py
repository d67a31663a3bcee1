"""Attempts of which the first success counts."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from application.execution.racing import first_to_succeed

# Longer than anything here takes.
BOUND = 60.0
SOON = 0.01


def succeeds(name: str, begun: list[str]) -> Callable[[], Awaitable[str]]:
    async def attempt() -> str:
        begun.append(name)
        return name

    return attempt


def fails(name: str, begun: list[str]) -> Callable[[], Awaitable[str]]:
    async def attempt() -> str:
        begun.append(name)
        raise OSError(name)

    return attempt


def hangs(name: str, begun: list[str], ended: list[str]) -> Callable[[], Awaitable[str]]:
    async def attempt() -> str:
        begun.append(name)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(name)
        return name

    return attempt


async def keep(_: str) -> None: ...


async def test_the_second_does_not_begin_beside_a_first_that_is_quick() -> None:
    begun: list[str] = []
    found = await first_to_succeed([succeeds("a", begun), succeeds("b", begun)], head_start=BOUND, discard=keep)
    assert (found, begun) == ("a", ["a"])


async def test_the_second_begins_at_once_when_the_first_fails() -> None:
    begun: list[str] = []
    async with asyncio.timeout(BOUND):
        found = await first_to_succeed([fails("a", begun), succeeds("b", begun)], head_start=9 * BOUND, discard=keep)
    assert found == "b"


async def test_one_that_hangs_is_overtaken_and_ended() -> None:
    begun: list[str] = []
    ended: list[str] = []
    attempts = [hangs("a", begun, ended), hangs("b", begun, ended), succeeds("c", begun)]
    async with asyncio.timeout(BOUND):
        assert await first_to_succeed(attempts, head_start=SOON, discard=keep) == "c"
    assert sorted(ended) == ["a", "b"]


async def test_when_all_fail_each_error_is_told() -> None:
    begun: list[str] = []
    with pytest.raises(ExceptionGroup) as group:
        await first_to_succeed([fails("a", begun), fails("b", begun)], head_start=BOUND, discard=keep)
    assert [str(error) for error in group.value.exceptions] == ["a", "b"]


async def test_a_result_that_comes_too_late_is_discarded() -> None:
    discarded: list[str] = []

    async def late() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "late"
        return "never"

    async def discard(found: str) -> None:
        discarded.append(found)

    begun: list[str] = []
    async with asyncio.timeout(BOUND):
        assert await first_to_succeed([late, succeeds("b", begun)], head_start=SOON, discard=discard) == "b"
    assert discarded == ["late"]


async def test_who_is_cancelled_leaves_no_attempt_behind() -> None:
    begun: list[str] = []
    ended: list[str] = []
    racing = asyncio.create_task(
        first_to_succeed([hangs("a", begun, ended), hangs("b", begun, ended)], head_start=SOON, discard=keep)
    )
    async with asyncio.timeout(BOUND):
        while len(begun) < 2:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        racing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await racing
    assert sorted(ended) == ["a", "b"]
