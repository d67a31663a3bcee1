import asyncio
import time
from collections import deque
from collections.abc import Sequence

import pytest
from attrs import define, field

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.batching import Batched, each_alone
from application.execution.working_for import WorkingFor, request_ids
from domain.errors import InvalidOrder

TIME_LIMIT = 5.0
POISON = 1313


class Poisoned(Exception):
    """The error that a bad call raises for its whole batch."""


@define(eq=False)
class Doubling:
    """A use case that doubles numbers. It refuses those below zero, and `POISON` brings its whole batch down.

    `to_come` has an error for each of the next batches; while the gate is shut, every batch waits at it.
    """

    to_come: deque[Exception | None] = field(factory=deque)
    gate: asyncio.Event = field(factory=asyncio.Event)
    batches: list[list[int]] = field(factory=list, init=False)
    started: asyncio.Condition = field(factory=asyncio.Condition, init=False)

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        async with self.started:
            self.batches.append(list(numbers))
            self.started.notify_all()
        await self.gate.wait()
        if self.to_come and (error := self.to_come.popleft()) is not None:
            raise error
        if POISON in numbers:
            raise Poisoned
        return [number * 2 if number >= 0 else InvalidOrder(f"{number} is below zero") for number in numbers]

    async def has_begun(self, batches: int) -> None:
        async with asyncio.timeout(TIME_LIMIT), self.started:
            await self.started.wait_for(lambda: len(self.batches) >= batches)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


@pytest.fixture
def work() -> Doubling:
    doubling = Doubling()
    doubling.gate.set()
    return doubling


async def turns_pass() -> None:
    """Long enough for everything to happen that waits for nothing."""
    for _ in range(10):
        await asyncio.sleep(0)


async def call_all(batched: Batched[int, int], *numbers: int) -> list[int | BaseException]:
    async with asyncio.timeout(TIME_LIMIT):
        return await asyncio.gather(*map(batched, numbers), return_exceptions=True)


async def test_an_idle_service_answers_a_call_without_waiting_for_others(work: Doubling) -> None:
    batched = Batched(work)
    async with asyncio.timeout(TIME_LIMIT):
        assert await batched(1) == 2
        assert await batched(2) == 4
    assert work.batches == [[1], [2]]


async def test_calls_made_in_the_same_moment_share_a_batch_and_each_gets_its_own_answer(work: Doubling) -> None:
    assert await call_all(Batched(work), *range(16)) == [number * 2 for number in range(16)]
    assert work.sizes == [16]


async def test_many_calls_are_shared_out_among_the_batches_that_may_be_in_flight(work: Doubling) -> None:
    work.gate.clear()
    calls = asyncio.create_task(call_all(Batched(work, max_in_flight=3), *range(100)))
    await work.has_begun(3)
    work.gate.set()
    assert await calls == [number * 2 for number in range(100)]
    assert work.sizes == [34, 33, 33]


async def test_the_last_free_place_takes_all_that_wait(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=2)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    later = asyncio.create_task(call_all(batched, *range(100)))
    await work.has_begun(2)
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        await asyncio.gather(first, later)
    assert work.sizes == [1, 100]


async def test_a_call_made_later_in_the_same_turn_shares_the_batch(work: Doubling) -> None:
    batched = Batched(work)

    async def later_in_the_turn() -> int:
        return await asyncio.create_task(batched(2))

    async with asyncio.timeout(TIME_LIMIT):
        one, two = await asyncio.gather(batched(1), later_in_the_turn())
    assert (one, two) == (2, 4)
    assert work.batches == [[1, 2]]


async def test_calls_that_arrive_while_batches_are_worked_on_become_the_next_batch(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=1)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    later = [asyncio.create_task(batched(number)) for number in (2, 3, 4)]
    await turns_pass()
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
    assert work.batches == [[1], [2, 3, 4]]


async def test_a_batch_may_begin_while_another_waits_but_no_third(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=2)
    tasks = []
    for number in (1, 2):
        tasks.append(asyncio.create_task(batched(number)))
        await work.has_begun(number)
    tasks += [asyncio.create_task(batched(number)) for number in (3, 4)]
    await turns_pass()
    assert work.batches == [[1], [2]]
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
    assert work.batches == [[1], [2], [3, 4]]


async def test_a_few_calls_wait_for_the_batch_in_flight_and_are_the_next_together(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=2)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    later = []
    for number in (2, 3):
        later.append(asyncio.create_task(batched(number)))
        await turns_pass()
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert work.batches == [[1], [2, 3]]


async def test_no_call_waits_long_for_the_end_of_a_slow_batch(work: Doubling) -> None:
    slow = asyncio.Event()

    async def slow_for_one(numbers: Sequence[int]) -> Sequence[int | Exception]:
        if 1 in numbers:
            await slow.wait()
        return await work(numbers)

    batched = Batched(slow_for_one, max_in_flight=2)
    first = asyncio.create_task(batched(1))
    await turns_pass()
    async with asyncio.timeout(TIME_LIMIT):
        assert await batched(2) == 4
    for number in (3, 4):
        # The batch is known to be slow by now.
        later = asyncio.create_task(batched(number))
        await turns_pass()
        assert later.done()
    assert not first.done()
    slow.set()
    async with asyncio.timeout(TIME_LIMIT):
        assert await first == 2


async def test_calls_that_come_turn_after_turn_share_the_only_batch(work: Doubling) -> None:
    batched, calls = Batched(work, max_in_flight=1), []
    for number in range(8):
        calls.append(asyncio.create_task(batched(number)))
        await asyncio.sleep(0)
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(*calls) == [number * 2 for number in range(8)]
    assert work.sizes == [8]


async def test_the_only_batch_leaves_when_it_is_full_though_calls_keep_coming(work: Doubling) -> None:
    batched, calls = Batched(work, max_in_flight=1, max_size=4), []
    for number in range(12):
        calls.append(asyncio.create_task(batched(number)))
        await asyncio.sleep(0)
    assert work.sizes[:1] == [4]
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(*calls) == [number * 2 for number in range(12)]


async def test_the_only_batch_leaves_after_a_while_though_calls_keep_coming(work: Doubling) -> None:
    batched, calls = Batched(work, max_in_flight=1), []
    for number in range(12):
        calls.append(asyncio.create_task(batched(number)))
        # A turn of the loop that has much else to do.
        time.sleep(0.01)  # noqa: ASYNC251 - it is the loop that is to be held up
        await asyncio.sleep(0)
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(*calls) == [number * 2 for number in range(12)]
    assert max(work.sizes) < 12


async def test_a_batch_has_a_largest_size(work: Doubling) -> None:
    assert await call_all(Batched(work, max_size=8), *range(20)) == [number * 2 for number in range(20)]
    assert max(work.sizes) == 8
    assert sum(work.sizes) == 20


async def test_what_is_refused_is_refused_alone(work: Doubling) -> None:
    one, refused, two = await call_all(Batched(work), 1, -1, 2)
    assert (one, two) == (2, 4)
    assert isinstance(refused, InvalidOrder)


async def test_a_bad_call_fails_alone(work: Doubling) -> None:
    one, poison, two = await call_all(Batched(work), 1, POISON, 2)
    assert (one, two) == (2, 4)
    assert isinstance(poison, Poisoned)


async def test_a_batch_whose_server_is_gone_is_not_tried_again(work: Doubling) -> None:
    """Its outcome is unknown: a second try could do it twice."""
    work.to_come.append(Unavailable("the reply to COMMIT was lost"))
    answers = await call_all(Batched(work), 1, 2)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert work.sizes == [2]


async def test_a_batch_that_was_rolled_back_is_tried_once_more(work: Doubling) -> None:
    work.to_come.append(Aborted("deadlock"))
    assert await call_all(Batched(work), 1, 2) == [2, 4]
    assert work.sizes == [2, 2]


async def test_a_batch_that_is_rolled_back_again_is_tried_one_by_one(work: Doubling) -> None:
    work.to_come.extend([Aborted("deadlock"), Aborted("deadlock")])
    assert await call_all(Batched(work), 1, 2) == [2, 4]
    assert work.sizes == [2, 2, 1, 1]


async def test_a_call_that_is_rolled_back_for_good_fails_after_a_bounded_number_of_tries(work: Doubling) -> None:
    work.to_come.extend(Aborted("deadlock") for _ in range(10))
    [answer] = await call_all(Batched(work), 1)
    assert isinstance(answer, Aborted)
    assert work.sizes == [1, 1]


@pytest.mark.parametrize("done", [0, 1, 5])
async def test_calls_that_are_left_when_a_server_is_lost_are_not_tried(work: Doubling, done: int) -> None:
    """Each of them would wait for the server in turn."""
    gone = Unavailable("gone")
    work.to_come.extend([Poisoned(), *[None] * done, gone])
    numbers = range(1, 9)
    answers = await call_all(Batched(work), *numbers)
    assert answers == [*(2 * number for number in numbers[:done]), *[gone] * (8 - done)]
    assert work.sizes == [8, *[1] * (done + 1)]


async def test_a_call_that_is_told_of_a_lost_server_is_the_last_one_that_is_tried() -> None:
    """The use case may have found another server lost, and tell so for the one call."""
    gone, sizes = Unavailable("the provider is gone"), []

    async def work(numbers: Sequence[int]) -> Sequence[int | Exception]:
        sizes.append(len(numbers))
        if len(numbers) > 1:
            raise Poisoned
        return [gone]

    assert await each_alone(work, [1, 2, 3]) == [gone] * 3
    assert sizes == [3, 1]


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), Poisoned()])
async def test_any_other_error_of_a_call_keeps_no_other_from_being_tried(work: Doubling, error: Exception) -> None:
    work.to_come.extend([Poisoned(), error])
    assert await call_all(Batched(work), 1, 2, 3) == [error, 4, 6]


async def test_a_cancelled_caller_ends_its_own_wait_and_nothing_else(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work)
    leaving, staying = asyncio.create_task(batched(1)), asyncio.create_task(batched(2))
    await work.has_begun(1)

    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    work.gate.set()

    async with asyncio.timeout(TIME_LIMIT):
        assert await staying == 4
    assert work.batches == [[1, 2]]


async def test_nothing_is_done_for_a_caller_that_was_cancelled_before_its_batch_began(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=1)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    leaving, staying = asyncio.create_task(batched(2)), asyncio.create_task(batched(3))
    await turns_pass()
    leaving.cancel()
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(first, staying) == [2, 6]
        await batched.drained()
    assert leaving.cancelled()
    assert work.batches == [[1], [3]]


async def test_no_batch_begins_when_every_caller_was_cancelled(work: Doubling) -> None:
    batched = Batched(work)
    leaving = asyncio.create_task(batched(1))
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(TIME_LIMIT):
        await batched.drained()
        assert await batched(2) == 4
    assert leaving.cancelled()
    assert work.batches == [[2]]


async def test_a_full_batch_has_no_cancelled_callers(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=1, max_size=2)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    tasks = [asyncio.create_task(batched(number)) for number in range(2, 8)]
    await turns_pass()
    for leaving in tasks[::2]:
        leaving.cancel()
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        await asyncio.gather(first, *tasks[1::2])
    assert work.batches == [[1], [3, 5], [7]]


async def test_more_calls_are_shed_with_nothing_done_while_one_waits_too_long(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=1, longest_wait=0.05)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    waiting = asyncio.create_task(batched(2))
    await asyncio.sleep(0.1)

    with pytest.raises(Overloaded, match="1 calls are waiting already"):
        async with asyncio.timeout(TIME_LIMIT):
            await batched(3)
    work.gate.set()

    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(first, waiting) == [2, 4]
        assert await batched(4) == 8
    assert work.batches == [[1], [2], [4]]


async def test_a_cancelled_caller_sheds_no_other_call(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_in_flight=1, longest_wait=0.05)
    first = asyncio.create_task(batched(1))
    await work.has_begun(1)
    leaving = asyncio.create_task(batched(2))
    await asyncio.sleep(0.1)
    leaving.cancel()
    staying = asyncio.create_task(batched(3))
    await turns_pass()
    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        assert await asyncio.gather(first, staying) == [2, 6]


async def test_drained_waits_for_every_call_that_was_made(work: Doubling) -> None:
    work.gate.clear()
    batched = Batched(work, max_size=2, max_in_flight=2)
    tasks = [asyncio.create_task(batched(number)) for number in range(7)]
    await work.has_begun(1)
    drained = asyncio.create_task(batched.drained())
    await turns_pass()
    assert not drained.done()

    work.gate.set()
    async with asyncio.timeout(TIME_LIMIT):
        await drained
        answers = await asyncio.gather(*tasks)

    assert sorted(number for batch in work.batches for number in batch) == list(range(7))
    assert answers == [number * 2 for number in range(7)]


async def test_an_idle_service_is_drained_at_once(work: Doubling) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        await Batched(work).drained()


async def test_a_call_made_in_the_very_turn_in_which_a_batch_ends_is_answered(work: Doubling) -> None:
    # A caller that gets its answer calls again before any other task could notice the end of the batch.
    batched = Batched(work, max_in_flight=1)
    async with asyncio.timeout(TIME_LIMIT):
        assert [await batched(number) for number in range(5)] == [0, 2, 4, 6, 8]


async def test_no_caller_waits_for_ever_when_the_process_ends() -> None:
    async def stuck(_: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    batched = Batched(stuck)
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(TIME_LIMIT):
            await batched(1)


@pytest.mark.parametrize("places", [1, 2])
async def test_a_batch_that_is_cancelled_keeps_no_place(places: int) -> None:
    is_to_come = [True]

    async def cancelled_once(numbers: Sequence[int]) -> Sequence[int | Exception]:
        if is_to_come:
            is_to_come.pop()
            raise asyncio.CancelledError
        return list(numbers)

    batched = Batched(cancelled_once, max_in_flight=places)
    with pytest.raises(asyncio.CancelledError):
        await batched(1)
    for number in (2, 3):
        later = asyncio.create_task(batched(number))
        await turns_pass()
        assert later.done()
    async with asyncio.timeout(TIME_LIMIT):
        await batched.drained()


@define(eq=False)
class Noting:
    """Doubles numbers, and notes for which requests it does each batch. A task that it starts outlives the batch."""

    seen: list[tuple[str, ...]] = field(factory=list)
    goes_on: asyncio.Event = field(factory=asyncio.Event)
    outliving: "asyncio.Task[tuple[str, ...]] | None" = None

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.outliving = self.outliving or asyncio.create_task(self._outlive())
        await asyncio.sleep(0)
        self.seen.append(request_ids())
        return [number * 2 for number in numbers]

    async def _outlive(self) -> tuple[str, ...]:
        await self.goes_on.wait()
        return request_ids()


async def test_a_batch_works_for_the_requests_that_are_in_it_and_for_no_other() -> None:
    noting = Noting()
    batched = Batched(noting, max_in_flight=1)

    async def ask(number: int) -> tuple[str, ...]:
        with WorkingFor([f"request-{number}"]):
            await batched(number)
            return request_ids()

    async with asyncio.timeout(TIME_LIMIT):
        assert await ask(1) == ("request-1",)
        assert await asyncio.gather(ask(2), ask(3)) == [("request-2",), ("request-3",)]
        await batched(4)
        assert noting.seen == [("request-1",), ("request-2", "request-3"), ()]
        # A task that opens a connection again, say, works for all later requests as well.
        noting.goes_on.set()
        assert noting.outliving is not None
        assert await noting.outliving == ()
