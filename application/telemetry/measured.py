"""Measures what use cases ask of their ports, so that no use case names a metric. The assembly puts it around them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from attrs import frozen

from application.errors import NotDone, OutcomeUnknown, Trouble
from application.execution.after_commit import Committed
from application.execution.batching import each_alone
from application.execution.idempotency import Keyed, Replayed
from application.intake.order_intake import OrderIntake
from application.intake.order_request import OrderRequest
from application.intake.queue_orders import Queued
from application.ports.caching import CatalogueCache, CataloguePage, RecentOrders, StockCache
from application.ports.catalogue import StockLevel
from application.ports.environment import Clock, loop_time
from application.ports.messaging import DeadDelivery, DeadLetterQueue, Delivery, EventPublisher, Subscription
from application.ports.outbox import OutboxEntry
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.telemetry import Record, Telemetry
from application.ports.webhooks import Attempt, AttemptFailure, Told, WebhookMessages, WebhookRequest, WebhookTransport
from application.telemetry import metrics
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import OrderId, PaymentId, ProductId
from domain.money import Money
from domain.orders.events import Event, OrderFailed, OrderPaid
from domain.orders.order import Order
from domain.orders.status import FailureReason
from domain.webhooks.endpoint import Endpoint, InvalidEndpoint

WorkOutcome = Exception | None | asyncio.Future[Exception | None]


@frozen
class _Lookups:
    _hit: Record
    _miss: Record

    @classmethod
    def of(cls, telemetry: Telemetry, cache: str) -> "_Lookups":
        return cls(*(telemetry.of(metrics.CACHE_LOOKUPS, cache=cache, result=result) for result in ("hit", "miss")))

    def note(self, *, wanted: int, found: int) -> None:
        if found:
            self._hit(found)
        if wanted > found:
            self._miss(wanted - found)


@frozen
class MeasuredRecentOrders:
    _inner: RecentOrders
    _lookups: _Lookups

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        found = await self._inner.get_many(ids)
        self._lookups.note(wanted=len(ids), found=len(found))
        return found

    async def put_many(self, orders: Sequence[Order]) -> bool:
        return await self._inner.put_many(orders)

    async def put_accepted(self, orders: Sequence[Order]) -> None:
        await self._inner.put_accepted(orders)

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        return await self._inner.get_accepted(ids)

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        return await self._inner.invalidate_below(versions)

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:
        return await self._inner.scan(cursor)


@frozen
class MeasuredCatalogueCache:
    _inner: CatalogueCache
    _lookups: _Lookups

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        current, found = await self._inner.get(page)
        self._lookups.note(wanted=1, found=found is not None)
        return current, found

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        await self._inner.put(page, products)

    async def begin_epoch(self) -> bool:
        return await self._inner.begin_epoch()


@frozen
class MeasuredStockCache:
    _inner: StockCache
    _lookups: _Lookups

    async def get_many(self, ids: Collection[ProductId]) -> tuple[str | None, dict[ProductId, StockLevel]]:
        epoch, found = await self._inner.get_many(ids)
        self._lookups.note(wanted=len(ids), found=len(found))
        return epoch, found

    async def put_read(self, levels: Mapping[ProductId, StockLevel], *, epoch: str | None) -> None:
        await self._inner.put_read(levels, epoch=epoch)

    async def put_committed(self, levels: Mapping[ProductId, StockLevel]) -> bool:
        return await self._inner.put_committed(levels)


class MeasuredTransport:
    def __init__(self, inner: WebhookTransport, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._count: Final = {
            outcome: telemetry.of(metrics.WEBHOOK_ATTEMPTS, outcome=outcome)
            for outcome in ("delivered", *AttemptFailure)
        }

    async def send(self, request: WebhookRequest) -> Attempt:
        try:
            attempt = await self._inner.send(request)
        except Exception:
            self._count[AttemptFailure.UNEXPECTED](1)
            raise
        self._count[attempt.failure or "delivered"](1)
        return attempt


class MeasuredMessages:
    """An attempt whose request can't be made is one as well. Without the shop's key there is none."""

    def __init__(self, inner: WebhookMessages, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._unexpected: Final = telemetry.of(metrics.WEBHOOK_ATTEMPTS, outcome=AttemptFailure.UNEXPECTED)

    def new_secret(self, chance: str) -> str:
        return self._inner.new_secret(chance)

    def public_keys(self) -> Sequence[str]:
        return self._inner.public_keys()

    def of_event(self, endpoint: Endpoint, told: Told, *, at: datetime) -> WebhookRequest:
        try:
            return self._inner.of_event(endpoint, told, at=at)
        except InvalidEndpoint:
            raise
        except Exception:
            self._unexpected(1)
            raise

    def ping(self, endpoint: Endpoint, *, id_: UUID, at: datetime) -> WebhookRequest:
        return self._inner.ping(endpoint, id_=id_, at=at)


class MeasuredProvider:
    """A cancelled call counts as unknown: it may have taken effect."""

    def __init__(self, inner: PaymentProvider, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._seconds: Final = {
            (operation, outcome): telemetry.of(metrics.GATEWAY_CALLS, operation=operation, outcome=outcome)
            for operation in ("charge", "refund")
            for outcome in ("done", "declined", "not_done", "unknown", "error")
            # No refund is declined.
            if (operation, outcome) != ("refund", "declined")
        }
        self._unknown: Final = telemetry.of(metrics.GATEWAY_UNKNOWN)

    async def charge(self, key: PaymentId, amount: Money) -> str:
        reference: str = await self._measured("charge", self._inner.charge(key, amount))
        return reference

    async def refund(self, key: PaymentId, amount: Money) -> None:
        await self._measured("refund", self._inner.refund(key, amount))

    async def _measured(self, operation: str, call: Awaitable[Any]) -> Any:
        begun, outcome = loop_time(), "error"
        try:
            answer = await call
            outcome = "done"
        except PaymentDeclined:
            outcome = "declined" if operation == "charge" else "error"
            raise
        except NotDone:
            outcome = "not_done"
            raise
        except (OutcomeUnknown, asyncio.CancelledError):
            outcome = "unknown"
            self._unknown(1)
            raise
        finally:
            self._seconds[operation, outcome](loop_time() - begun)
        return answer


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
    """The work for the messages of one queue."""

    def __init__(
        self,
        inner: Callable[[Sequence[Any]], Awaitable[Sequence[WorkOutcome]]],
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

    async def __call__(self, events: Sequence[Event]) -> Sequence[WorkOutcome]:
        now, begun = self._now(), loop_time()
        # What fails as a batch has an outcome for each message, too.
        outcomes = await each_alone(self._inner, events)
        for event, outcome in zip(events, outcomes, strict=True):
            # The clock of the process that wrote the event may be ahead.
            waited = max(0.0, (now - event.at).total_seconds())
            if isinstance(outcome, asyncio.Future):
                outcome.add_done_callback(partial(self._note_late, begun, waited))
            else:
                self._note(outcome, begun, waited)
        return outcomes

    def _note_late(self, begun: float, waited: float, outcome: asyncio.Future[Exception | None]) -> None:
        if not outcome.cancelled():
            self._note(outcome.result(), begun, waited)

    def _note(self, outcome: Exception | None, begun: float, waited: float) -> None:
        kind, took = _kind(outcome), loop_time() - begun
        self._seconds[kind](took)
        # What is refused is no work, and may say of itself any time: a few old messages would wake whoever is on duty.
        if kind != "refused":
            self._waited(waited)
            self._settled["done" if outcome is None else "failed"](waited + took)


def _kind(outcome: Exception | None) -> str:
    if outcome is None:
        return "done"
    if isinstance(outcome, Trouble):
        return "trouble"
    return "refused" if isinstance(outcome, DomainError) else "error"


class MeasuredIntake:
    def __init__(self, inner: OrderIntake, telemetry: Telemetry, intake: str) -> None:
        self._inner: Final = inner
        self._outcomes: Final = {
            outcome: telemetry.of(metrics.ORDERS, outcome=outcome, intake=intake)
            for outcome in ("placed", "queued", "replayed", "refused", "unavailable", "error", "abandoned")
        }
        self._replays: Final = telemetry.of(metrics.REPLAYS)

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        try:
            answer = await self._inner(request)
        except Trouble:
            self._outcomes["unavailable"](1)
            raise
        except DomainError:
            self._outcomes["refused"](1)
            raise
        except asyncio.CancelledError:
            self._outcomes["abandoned"](1)
            raise
        except Exception:
            self._outcomes["error"](1)
            raise
        if isinstance(answer, Replayed) or (isinstance(answer, Queued) and answer.replayed):
            self._outcomes["replayed"](1)
            self._replays(1)
        else:
            self._outcomes["queued" if isinstance(answer, Queued) else "placed"](1)
        return answer


class CountChanges:
    """Counts what has happened to orders, after each commit, and passes it on."""

    def __init__(self, tell: Callable[[Committed], None], telemetry: Telemetry) -> None:
        self._tell: Final = tell
        self._to_paid: Final = telemetry.of(metrics.TIME_TO_PAID)
        self._conflict: Final = telemetry.of(metrics.STOCK_CONFLICTS)

    def __call__(self, committed: Committed) -> None:
        paid: dict[OrderId, datetime] = {}
        for event in committed.events:
            if isinstance(event, OrderPaid):
                paid[event.order_id] = event.at
            elif isinstance(event, OrderFailed) and event.reason == FailureReason.OUT_OF_STOCK:
                self._conflict(1)
        if paid:
            for order in committed.orders:
                if (at := paid.get(order.id)) is not None:
                    self._to_paid(max(0.0, (at - order.created_at).total_seconds()))
        self._tell(committed)


def lookups(telemetry: Telemetry, cache: str) -> _Lookups:
    return _Lookups.of(telemetry, cache)
