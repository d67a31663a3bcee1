import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from attrs import define, evolve, field, frozen

from application.errors import Trouble
from application.execution.concurrency import end
from application.execution.outcomes import MaybeLate, WorkOutcome
from application.execution.working_for import WorkingFor
from application.messaging.reasons import reason_for
from application.messaging.subscriptions import WorkQueue
from application.ports.messaging import Delivery, Subscription
from domain.errors import DomainError


class Misplaced(Exception):
    """A readable event that is no work of this queue."""


@frozen
class Handled:
    """The outcome of a batch: how many were acked, and which will be retried or were dead-lettered, with the reason."""

    done: int
    retried: tuple[tuple[Delivery, Exception], ...]
    dead_lettered: tuple[tuple[Delivery, Exception], ...]


@define(eq=False)
class Consumer:
    """Pass the deliveries of a queue to a use case, in batches, and settle each delivery by its outcome.

    A delivery is acknowledged only after its use case has finished. After a `Trouble` it is retried for as long as it
    takes. After a `DomainError`, or if it belongs to another queue, it is dead-lettered at once, after any other error
    once that was so `max_failures` times: the attempts during an outage don't count.

    The use case gives an outcome for each delivery, and raises nothing. One that may fail as a whole is called by
    `each_alone`.

    A delivery whose outcome comes later is settled by `settle`. While `max_late` deliveries wait for it, no more are
    received.
    """

    work: WorkQueue
    _subscription: Subscription
    _handle_all: Callable[[Sequence[Any]], Awaitable[Sequence[MaybeLate]]]
    _max_batch: int = field(default=256, kw_only=True)
    _max_failures: int = field(default=8, kw_only=True)
    _max_late: int = field(default=128, kw_only=True)
    # In the sequence in which they came. A set would have another sequence in each process.
    _late: dict[asyncio.Future[WorkOutcome], None] = field(factory=dict, init=False)
    # Late deliveries with their outcomes, to be settled.
    _finished: list[tuple[Delivery, WorkOutcome]] = field(factory=list, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def step(self) -> Handled:
        """Wait for deliveries and handle them."""
        return await self.handle(await self.receive())

    async def receive(self) -> Sequence[Delivery]:
        """Wait for deliveries. Cancelling this call loses none. Raise `Trouble` when the broker is gone."""
        await self._until(lambda: len(self._late) < self._max_late)
        return await self._subscription.receive(self._max_batch)

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """Handle deliveries, and settle those with an outcome. Raise `Trouble` when the broker is gone.

        The broker will deliver again what was not settled.
        """
        ours = [delivery for delivery in deliveries if isinstance(delivery.event, self.work.events)]
        takes = " and ".join(event.type for event in self.work.events)
        settled: list[tuple[Delivery, WorkOutcome]] = [
            (delivery, Misplaced(f"queue {self.work.name} takes only {takes} events"))
            for delivery in deliveries
            if not isinstance(delivery.event, self.work.events)
        ]
        with WorkingFor(delivery.event.request_id for delivery in ours if delivery.event.request_id):
            outcomes = await self._handle_all([delivery.event for delivery in ours]) if ours else []
        for delivery, outcome in zip(ours, outcomes, strict=True):
            if isinstance(outcome, asyncio.Future):
                self._await_later(delivery, outcome)
            else:
                settled.append((delivery, outcome))
        return await self._settle(settled)

    async def settle(self) -> Handled:
        """Wait for late outcomes, and settle their deliveries: all that have come meanwhile. Raise as `handle` does.

        Cancelling this call while it waits loses none.
        """
        await self._until(lambda: bool(self._finished))
        finished = list(self._finished)
        try:
            return await self._settle(finished)
        finally:
            del self._finished[: len(finished)]
            self._changed.set()

    async def nothing_is_late(self) -> None:
        """Wait until every late outcome has come, and `settle` is done with it."""
        await self._until(lambda: not self._late and not self._finished)

    async def close(self) -> None:
        """Stop waiting for what is late. The broker will deliver it again."""
        await end(list(self._late))

    def _await_later(self, delivery: Delivery, outcome: asyncio.Future[WorkOutcome]) -> None:
        def finish(done: asyncio.Future[WorkOutcome]) -> None:
            self._late.pop(done, None)
            if not done.cancelled():
                self._finished.append((delivery, done.result()))
            self._changed.set()

        self._late[outcome] = None
        outcome.add_done_callback(finish)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _settle(self, outcomes: Sequence[tuple[Delivery, WorkOutcome]]) -> Handled:
        done: list[Delivery] = []
        retried: list[tuple[Delivery, Exception]] = []
        dead_lettered: list[tuple[Delivery, Exception]] = []
        for delivery, outcome in outcomes:
            if outcome is None:
                done.append(delivery)
            elif isinstance(outcome, Trouble):
                retried.append((delivery, outcome))
            elif not isinstance(outcome, DomainError | Misplaced) and delivery.failures + 1 < self._max_failures:
                retried.append((evolve(delivery, failures=delivery.failures + 1), outcome))
            else:
                dead_lettered.append((delivery, outcome))
        # Each is tried, whatever becomes of the others: late outcomes may belong to a connection that was lost, or to
        # the one that is open now. The broker delivers again only what the lost one had.
        subscription, troubles = self._subscription, []
        for settle in (
            partial(subscription.ack, done),
            *(partial(subscription.retry, each, reason=reason_for(error)) for each, error in retried),
            *(partial(subscription.dead_letter, each, reason=reason_for(error)) for each, error in dead_lettered),
        ):
            try:
                await settle()
            except Trouble as trouble:
                troubles.append(trouble)
        if troubles:
            raise troubles[0]
        return Handled(len(done), tuple(retried), tuple(dead_lettered))
