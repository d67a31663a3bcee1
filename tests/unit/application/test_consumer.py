import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

import pytest
from attrs import define, field

from adapters.codecs.events import decode
from adapters.memory.broker import MemoryBroker, MemorySubscription
from application.errors import Aborted, Unavailable
from application.execution.batching import each_alone
from application.messaging.consumer import Consumer, Handled
from application.messaging.subscriptions import PAYMENTS
from application.ports.messaging import Delivery
from domain.errors import IllegalTransition
from domain.ids import OrderId
from domain.orders.events import Event, OrderPaid, PaymentRequested
from tests.unit.builders import NOW, PAYMENT, euros
from tests.unit.provider import Crash
from tests.unit.shop import Shop


def request(number: int) -> PaymentRequested:
    return PaymentRequested(order_id=OrderId(UUID(int=number)), sequence=2, at=NOW, payment_id=PAYMENT, amount=euros(1))


@define(eq=False)
class Work:
    """A use case that writes down what it did. `refuses` has an outcome for orders, `breaks` fails their batch."""

    refuses: Mapping[int, Exception] = field(factory=dict)
    breaks: Mapping[int, BaseException] = field(factory=dict)
    done: list[int] = field(factory=list, init=False)

    async def __call__(self, events: Sequence[PaymentRequested]) -> Sequence[Exception | None]:
        numbers = [event.order_id.int for event in events]
        for number in numbers:
            if number in self.breaks:
                raise self.breaks[number]
        self.done += [number for number in numbers if number not in self.refuses]
        return [self.refuses.get(number) for number in numbers]


@define(eq=False)
class Settled:
    """A queue that is full from the start and writes down how its deliveries were settled."""

    waiting: deque[Delivery]
    done_: list[Delivery] = field(factory=list, init=False)
    later_: list[tuple[Delivery, str]] = field(factory=list, init=False)
    aside: list[tuple[Delivery, str]] = field(factory=list, init=False)

    @classmethod
    def of(cls, *events: Event, attempt: int = 1, failures: int = 0) -> "Settled":
        return cls(deque(Delivery(event, attempt, tag, failures) for tag, event in enumerate(events)))

    async def receive(self, limit: int) -> list[Delivery]:
        return [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.done_ += deliveries

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        self.later_.append((delivery, reason))

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        self.aside.append((delivery, reason))


CALLED_BY = "application.execution.batching.each_alone"


@define(eq=False)
class HalfLost(Settled):
    """A queue whose first deliveries came over a connection that was lost since: to settle one of them fails."""

    lost: int = 1

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        await super().ack([each for each in deliveries if each.tag >= self.lost])
        self._expect_none_lost(deliveries)

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        self._expect_none_lost([delivery])
        await super().retry(delivery, reason=reason)

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        self._expect_none_lost([delivery])
        await super().dead_letter(delivery, reason=reason)

    def _expect_none_lost(self, deliveries: Sequence[Delivery]) -> None:
        if any(each.tag < self.lost for each in deliveries):
            raise Unavailable("the connection that received this message was lost")


def consumer(
    queue: Settled | MemorySubscription, work: Work, *, max_batch: int = 256, max_failures: int = 3
) -> Consumer:
    return Consumer(PAYMENTS, queue, partial(each_alone, work), max_batch=max_batch, max_failures=max_failures)


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    return [delivery.event.order_id.int for delivery in deliveries]


async def test_a_handled_delivery_is_acked() -> None:
    queue, work = Settled.of(*map(request, range(5))), Work()
    handled = await consumer(queue, work, max_batch=3).step()
    assert (handled.done, handled.retried, handled.dead_lettered) == (3, (), ())
    assert numbers(queue.done_) == work.done == [0, 1, 2]


@pytest.mark.parametrize("error", [Unavailable("no answer"), Aborted("deadlock")])
@pytest.mark.parametrize("attempt", [1, 1000])
async def test_a_temporary_problem_is_retried_for_as_long_as_it_takes(error: Exception, attempt: int) -> None:
    queue = Settled.of(*map(request, range(3)), attempt=attempt)
    handled = await consumer(queue, Work(refuses={1: error})).step()
    assert (handled.done, len(handled.retried), handled.dead_lettered) == (2, 1, ())
    [(delivery, reason)] = queue.later_
    assert (delivery.event, reason) == (request(1), f"{type(error).__name__}: {error}")
    assert numbers(queue.done_) == [0, 2]


async def test_a_batch_whose_database_is_gone_is_retried_as_a_whole() -> None:
    queue = Settled.of(*map(request, range(3)))
    handled = await consumer(queue, Work(breaks={1: Unavailable("gone")})).step()
    assert (handled.done, len(handled.retried), handled.dead_lettered) == (0, 3, ())
    assert queue.done_ == []


async def test_what_the_rules_refuse_is_dead_lettered_at_once() -> None:
    refusal = IllegalTransition("PAID cannot become PAID")
    queue = Settled.of(*map(request, range(3)))
    handled = await consumer(queue, Work(breaks={1: refusal})).step()
    assert (handled.done, handled.retried, len(handled.dead_lettered)) == (2, (), 1)
    assert [(numbers([delivery]), reason) for delivery, reason in queue.aside] == [
        ([1], f"IllegalTransition in {CALLED_BY}: PAID cannot become PAID")
    ]


@pytest.mark.parametrize("attempt", [1, 1000])
@pytest.mark.parametrize(("failures", "aside"), [(0, False), (1, False), (2, True), (3, True)])
async def test_an_unexpected_error_is_dead_lettered_after_some_of_them_and_not_after_other_attempts(
    failures: int, attempt: int, *, aside: bool
) -> None:
    queue = Settled.of(request(1), attempt=attempt, failures=failures)
    handled = await consumer(queue, Work(breaks={1: KeyError("surprise")}), max_failures=3).step()
    assert (len(handled.retried), len(handled.dead_lettered)) == ((0, 1) if aside else (1, 0))


async def test_one_poisonous_delivery_among_a_thousand_delays_none_of_them() -> None:
    queue, work = Settled.of(*map(request, range(1000))), Work(breaks={500: KeyError("surprise")})
    handled = await consumer(queue, work, max_batch=1000).step()
    assert (handled.done, len(handled.retried)) == (999, 1)
    assert work.done == [number for number in range(1000) if number != 500]


async def test_an_event_that_belongs_elsewhere_is_set_aside_at_once_and_breaks_up_no_batch() -> None:
    """As when somebody has bound the queue to all events of the shop."""
    strangers = [
        OrderPaid(order_id=OrderId(UUID(int=number)), sequence=4, at=NOW, payment_id=PAYMENT, amount=euros(1))
        for number in (8, 9)
    ]
    batches: list[list[int]] = []

    async def work(events: Sequence[PaymentRequested]) -> list[None]:
        batches.append([event.order_id.int for event in events])
        return [None] * len(events)

    queue = Settled.of(strangers[0], request(1), request(2), strangers[1], request(3), strangers[0])
    consuming = Consumer(PAYMENTS, queue, work, max_batch=5)
    assert (await consuming.step()).done == 3
    assert (await consuming.step()).done == 0

    assert batches == [[1, 2, 3]]
    assert numbers(queue.done_) == [1, 2, 3]
    assert queue.later_ == []
    reason = "Misplaced: queue payments takes only order.payment_requested events"
    assert [(delivery.event, why) for delivery, why in queue.aside] == [
        (stranger, reason) for stranger in (*strangers, strangers[0])
    ]


async def test_nothing_is_acknowledged_when_the_process_stops_in_its_work() -> None:
    queue = Settled.of(*map(request, range(3)))
    with pytest.raises(Crash):
        await consumer(queue, Work(breaks={1: Crash()})).step()
    assert (queue.done_, queue.later_, queue.aside) == ([], [], [])


async def test_a_retried_delivery_comes_again_as_the_next_attempt_until_it_is_dead_lettered() -> None:
    queue, work = MemoryBroker().queue(PAYMENTS, delays=(0.0,)), Work(breaks={1: KeyError("surprise")})
    queue.put(request(1))
    consuming = consumer(queue, work, max_failures=3)
    async with asyncio.timeout(60):
        handled = [await consuming.step() for _ in range(3)]
    assert [(len(step.retried), len(step.dead_lettered)) for step in handled] == [(1, 0), (1, 0), (0, 1)]
    [dead] = await queue.dead_letters.receive(10)
    assert decode(dead.message.body) == request(1)
    # The innermost function of the product is that which called the broken work of this test.
    assert (dead.message.attempts, dead.message.reason) == (3, f"KeyError in {CALLED_BY}: 'surprise'")


async def test_attempts_during_an_outage_do_not_count_as_failures() -> None:
    queue, work = MemoryBroker().queue(PAYMENTS, delays=(0.0,)), Work()
    queue.put(request(1))
    consuming = consumer(queue, work, max_failures=3)
    errors = [Unavailable("gone")] * 5 + [KeyError("surprise"), Unavailable("gone")] * 2 + [KeyError("surprise")]
    steps = []
    async with asyncio.timeout(60):
        for error in errors:
            work.breaks = {1: error}
            handled = await consuming.step()
            steps.append((len(handled.retried), len(handled.dead_lettered)))
    assert steps == [(1, 0)] * 9 + [(0, 1)]
    [dead] = await queue.dead_letters.receive(10)
    assert dead.message.attempts == 10


async def test_a_payment_comes_through_once_the_provider_answers_again(shop: Shop) -> None:
    order, requested = await shop.payment_requested((await shop.sells(price=1250), 2))
    queue = MemoryBroker().queue(PAYMENTS, delays=(0.0,))
    queue.put(requested)
    shop.provider.after.extend([Unavailable("no answer")] * 5)
    consuming = Consumer(PAYMENTS, queue, partial(each_alone, shop.process_payment), max_failures=3)
    async with asyncio.timeout(60):
        done = [(await consuming.step()).done for _ in range(6)]
    assert done == [0, 0, 0, 0, 0, 1]
    assert (await shop.now(order)).status.value == "PAID"
    assert shop.provider.taken == 2500


async def test_no_more_is_received_while_too_many_deliveries_wait_for_a_slow_server() -> None:
    late: list[asyncio.Future[Exception | None]] = []

    async def work(events: Sequence[PaymentRequested]) -> list[asyncio.Future[Exception | None]]:
        late.extend(asyncio.get_running_loop().create_future() for _ in events)
        return late[-len(events) :]

    queue = Settled.of(*map(request, range(6)))
    slow = Consumer(PAYMENTS, queue, work, max_batch=2, max_late=4)
    async with asyncio.timeout(60):
        for _ in range(2):
            assert await slow.step() == Handled(0, (), ())
        receiving = asyncio.create_task(slow.receive())
        settling = asyncio.create_task(slow.settle())
        await asyncio.sleep(0)
        assert (receiving.done(), settling.done(), queue.done_) == (False, False, [])
        late[1].set_result(None)
        late[2].set_result(Unavailable("gone"))
        handled = await settling
        assert (handled.done, numbers([delivery for delivery, _ in handled.retried])) == (1, [2])
        assert (numbers(queue.done_), [numbers([each]) for each, _ in queue.later_]) == ([1], [[2]])
        assert numbers(await receiving) == [4, 5]
        # What is cut off is neither settled nor waited for.
        await slow.close()
        await slow.nothing_is_late()
    assert [future.cancelled() for future in late] == [True, False, False, True]
    assert numbers(queue.done_) == [1]


@pytest.mark.parametrize(
    "of_the_lost", [None, Unavailable("no answer"), IllegalTransition("PAID cannot become PAID")], ids=repr
)
async def test_what_a_lost_connection_had_keeps_nothing_else_from_being_settled(of_the_lost: Exception | None) -> None:
    queue, late = HalfLost.of(*map(request, range(4))), dict[int, asyncio.Future[Exception | None]]()

    async def work(events: Sequence[PaymentRequested]) -> list[asyncio.Future[Exception | None]]:
        late.update({event.order_id.int: asyncio.get_running_loop().create_future() for event in events})
        return list(late.values())

    slow = Consumer(PAYMENTS, queue, work)
    async with asyncio.timeout(60):
        await slow.step()
        outcomes = [of_the_lost, None, Unavailable("no answer"), IllegalTransition("PAID cannot become PAID")]
        for number, outcome in enumerate(outcomes):
            late[number].set_result(outcome)
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="was lost"):
            await slow.settle()
        await slow.nothing_is_late()
    assert numbers(queue.done_) == [1]
    assert [numbers([delivery]) for delivery, _ in queue.later_] == [[2]]
    assert [numbers([delivery]) for delivery, _ in queue.aside] == [[3]]
