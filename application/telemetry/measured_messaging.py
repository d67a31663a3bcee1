"""Measures what is published, and what becomes of the messages in the work queues."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from application.errors import Trouble
from application.execution.outcomes import MaybeLate, WorkOutcome
from application.ports.environment import Clock, loop_time
from application.ports.messaging import DeadDelivery, DeadLetterQueue, Delivery, EventPublisher, Subscription
from application.ports.outbox import OutboxEntry
from application.ports.telemetry import Telemetry
from application.telemetry import metrics
from domain.errors import DomainError
from domain.orders.events import Event


class MeasuredPublisher:
    def __init__(self, inner: EventPublisher, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._published: Final = {
            kind: telemetry.of(metrics.RELAY_PUBLISHED, kind=kind) for kind in ("work", "announcement")
        }
        self._seconds: Final = {
            kind: telemetry.of(metrics.RELAY_CONFIRM, kind=kind) for kind in ("work", "announcement")
        }

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return await self._measured("work", self._inner.enqueue(entries))

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return await self._measured("announcement", self._inner.announce(entries))

    async def _measured(self, kind: str, call: Awaitable[list[OutboxEntry]]) -> list[OutboxEntry]:
        begun = loop_time()
        try:
            confirmed = await call
        finally:
            self._seconds[kind](loop_time() - begun)
        self._published[kind](len(confirmed))
        return confirmed


class MeasuredSubscription:
    """Counts what does not succeed at once."""

    def __init__(self, inner: Subscription, telemetry: Telemetry, queue: str) -> None:
        self._inner: Final = inner
        self._retried: Final = telemetry.of(metrics.RETRIES, queue=queue)

    async def receive(self, limit: int) -> list[Delivery]:
        return await self._inner.receive(limit)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        await self._inner.ack(deliveries)

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        await self._inner.retry(delivery, reason=reason)
        self._retried(1)

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        await self._inner.dead_letter(delivery, reason=reason)


class MeasuredDeadLetterQueue:
    """Counts dead letters here, where all of them come by: a message that can't be read never was a delivery."""

    def __init__(self, inner: DeadLetterQueue, telemetry: Telemetry, queue: str) -> None:
        self._inner: Final = inner
        self._recorded: Final = telemetry.of(metrics.DEAD_LETTERS, queue=queue)

    async def receive(self, limit: int) -> list[DeadDelivery]:
        return await self._inner.receive(limit)

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        await self._inner.ack(deliveries)
        self._recorded(len(deliveries))


class MeasuredWork:
    """The work for the messages of one queue, which has an outcome for each of them and raises nothing."""

    def __init__(
        self,
        inner: Callable[[Sequence[Any]], Awaitable[Sequence[MaybeLate]]],
        telemetry: Telemetry,
        now: Clock,
        queue: str,
    ) -> None:
        self._inner: Final = inner
        self._now: Final = now
        self._waited: Final = telemetry.of(metrics.QUEUE_TIME, queue=queue)
        self._settled: Final = {
            outcome: telemetry.of(metrics.SETTLED, queue=queue, outcome=outcome) for outcome in ("done", "failed")
        }
        self._seconds: Final = {
            outcome: telemetry.of(metrics.PROCESS_DURATION, queue=queue, outcome=outcome)
            for outcome in ("done", "trouble", "refused", "error")
        }

    async def __call__(self, events: Sequence[Event]) -> Sequence[MaybeLate]:
        now, begun = self._now(), loop_time()
        outcomes = await self._inner(events)
        for event, outcome in zip(events, outcomes, strict=True):
            # The clock of the process that wrote the event may be ahead.
            waited = max(0.0, (now - event.at).total_seconds())
            if isinstance(outcome, asyncio.Future):
                outcome.add_done_callback(partial(self._note_late, begun, waited))
            else:
                self._note(outcome, begun, waited)
        return outcomes

    def _note_late(self, begun: float, waited: float, outcome: asyncio.Future[WorkOutcome]) -> None:
        if not outcome.cancelled():
            self._note(outcome.result(), begun, waited)

    def _note(self, outcome: WorkOutcome, begun: float, waited: float) -> None:
        kind, took = _kind(outcome), loop_time() - begun
        self._seconds[kind](took)
        # What is refused is no work, and may say of itself any time: a few old messages would wake whoever is on duty.
        if kind != "refused":
            self._waited(waited)
            self._settled["done" if outcome is None else "failed"](waited + took)


def _kind(outcome: WorkOutcome) -> str:
    if outcome is None:
        return "done"
    if isinstance(outcome, Trouble):
        return "trouble"
    return "refused" if isinstance(outcome, DomainError) else "error"
