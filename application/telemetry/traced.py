"""Traces what use cases ask of their ports, and what is done for a message, so that no use case names a span.

The assembly puts it around them, where there is a tracer. What is not sampled costs a look at the id of its request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import evolve, frozen

from application.execution.outcomes import MaybeLate, WorkOutcome
from application.execution.working_for import TracedId, WorkingFor, request_ids, traceparent_of
from application.ports.environment import Clock
from application.ports.messaging import EventPublisher
from application.ports.outbox import OutboxEntry
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.telemetry import About, Span, SpanKind, Tracer
from application.ports.webhooks import Attempt, WebhookRequest, WebhookTransport
from domain.ids import PaymentId
from domain.money import Money
from domain.orders.events import Event

MOST_LINKS: Final = 32
# What is done later than this has a trace of its own, which is linked: a trace is not open for days.
LONGEST_TRACE: Final = timedelta(seconds=60)
TRACEPARENT: Final = "traceparent"


class TracedPublisher:
    def __init__(self, inner: EventPublisher, tracer: Tracer) -> None:
        self._inner: Final = inner
        self._tracer: Final = tracer

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return await self._traced("enqueue", self._inner.enqueue, entries)

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return await self._traced("announce", self._inner.announce, entries)

    async def _traced(
        self,
        name: str,
        send: Callable[[Sequence[OutboxEntry]], Awaitable[list[OutboxEntry]]],
        entries: Sequence[OutboxEntry],
    ) -> list[OutboxEntry]:
        named = {found: None for entry in entries if (found := self._tracer.of_message(entry.body)) is not None}
        if not named:
            return await send(entries)
        # A batch has events of many traces. One alone stays in its own.
        [first, *others] = named
        about = {"messaging.batch.message_count": len(entries)}
        span = (
            self._tracer.begin(name, SpanKind.PRODUCER, links=list(named)[:MOST_LINKS], about=about)
            if others
            else self._tracer.begin(name, SpanKind.PRODUCER, parent=first, about=about)
        )
        sent: list[OutboxEntry] = await _ended(span, send(entries))
        return sent


class TracedWork:
    """The work for the messages of one queue. What it causes is under the step of its message."""

    def __init__(
        self,
        inner: Callable[[Sequence[Any]], Awaitable[Sequence[MaybeLate]]],
        tracer: Tracer,
        now: Clock,
        queue: str,
    ) -> None:
        self._inner: Final = inner
        self._tracer: Final = tracer
        self._now: Final = now
        self._queue: Final = queue

    async def __call__(self, events: Sequence[Event]) -> Sequence[MaybeLate]:
        spans = [self._begin(event) for event in events]
        if not any(spans):
            return await self._inner(events)
        under = [_under(event, span) for event, span in zip(events, spans, strict=True)]
        try:
            with WorkingFor(event.request_id for event in under if event.request_id):
                outcomes = await self._inner(under)
        except BaseException as error:
            for begun in filter(None, spans):
                begun.end(error=type(error).__name__)
            raise
        for span, outcome in zip(spans, outcomes, strict=True):
            if span is None:
                continue
            if isinstance(outcome, asyncio.Future):
                outcome.add_done_callback(_Late(span))
            else:
                span.end(error=_word(outcome))
        return outcomes

    def _begin(self, event: Event) -> Span | None:
        traceparent = traceparent_of(event.request_id)
        if traceparent is None:
            return None
        about: About = {"holdfast.order_id": str(event.order_id), "holdfast.sequence": event.sequence}
        name = f"process {self._queue}"
        if self._now() - event.at < LONGEST_TRACE:
            return self._tracer.begin(name, SpanKind.CONSUMER, parent=traceparent, about=about)
        return self._tracer.begin(name, SpanKind.CONSUMER, links=[traceparent], about=about)


@frozen
class _Late:
    """Ends a span when its outcome comes."""

    _span: Span

    def __call__(self, done: asyncio.Future[WorkOutcome]) -> None:
        outcome = None if done.cancelled() else done.result()
        self._span.end(error="cancelled" if done.cancelled() else _word(outcome))


class TracedProvider:
    def __init__(self, inner: PaymentProvider, tracer: Tracer) -> None:
        self._inner: Final = inner
        self._tracer: Final = tracer

    async def charge(self, key: PaymentId, amount: Money) -> str:
        reference: str = await self._traced("charge", self._inner.charge(key, amount))
        return reference

    async def refund(self, key: PaymentId, amount: Money) -> None:
        await self._traced("refund", self._inner.refund(key, amount))

    async def _traced(self, name: str, call: Awaitable[Any]) -> Any:
        traceparent = next(filter(None, map(traceparent_of, request_ids())), None)
        if traceparent is None:
            return await call
        span = self._tracer.begin(name, SpanKind.CLIENT, parent=traceparent)
        try:
            return await _ended(span, call, but=PaymentDeclined)
        except PaymentDeclined:
            # A decline is an answer, and no error.
            span.end(about={"holdfast.outcome": "declined"})
            raise


class TracedTransport:
    """The receiver gets the place of the attempt, so that its own steps are under it."""

    def __init__(self, inner: WebhookTransport, tracer: Tracer) -> None:
        self._inner: Final = inner
        self._tracer: Final = tracer

    async def send(self, request: WebhookRequest) -> Attempt:
        traceparent = request.headers.get(TRACEPARENT)
        if traceparent is None:
            return await self._inner.send(request)
        span = (
            self._tracer.begin("webhook", SpanKind.CLIENT, parent=traceparent)
            if request.age < LONGEST_TRACE
            else self._tracer.begin("webhook", SpanKind.CLIENT, links=[traceparent])
        )
        attempt = None
        try:
            headers = {**request.headers, TRACEPARENT: span.traceparent}
            attempt = await self._inner.send(evolve(request, headers=headers))
        finally:
            if attempt is None:
                span.end(error="cancelled")
            else:
                status = {} if attempt.status is None else {"http.response.status_code": attempt.status}
                span.end(error=attempt.failure, about=status)
        return attempt


async def _ended(span: Span, call: Awaitable[Any], *, but: type[Exception] | tuple[()] = ()) -> Any:
    try:
        answer = await call
    except but:
        raise
    except BaseException as error:
        span.end(error=type(error).__name__)
        raise
    span.end()
    return answer


def _under(event: Event, span: Span | None) -> Event:
    if span is None or event.request_id is None:
        return event
    return evolve(event, request_id=TracedId.of(event.request_id, span.traceparent))


def _word(outcome: Exception | None) -> str | None:
    return None if outcome is None else type(outcome).__name__
