"""A check of readiness costs one test a second, however many ask."""

import asyncio

from attrs import define, field

from entrypoints.readiness import Readiness, SharedCheck

ABLE = Readiness(orders=True, payments=True, missing=())


@define(eq=False)
class CountedTest:
    runs: int = 0
    may_end: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self) -> Readiness:
        self.runs += 1
        await self.may_end.wait()
        return ABLE


async def test_a_thousand_who_ask_at_once_get_the_answer_of_one_test() -> None:
    test = CountedTest()
    check = SharedCheck(test, 60)
    asking = [asyncio.create_task(check()) for _ in range(1000)]
    await asyncio.sleep(0)
    test.may_end.set()
    assert await asyncio.gather(*asking) == [ABLE] * 1000
    assert await check() == ABLE
    assert test.runs == 1


async def test_one_who_hangs_up_does_not_end_the_test_of_the_others() -> None:
    test = CountedTest()
    check = SharedCheck(test, 60)
    first, second = asyncio.create_task(check()), asyncio.create_task(check())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    test.may_end.set()
    assert await second == ABLE
    assert test.runs == 1


async def test_an_answer_that_is_too_old_is_not_given_again() -> None:
    test = CountedTest()
    test.may_end.set()
    check = SharedCheck(test, 0)
    await check()
    await check()
    assert test.runs == 2
