import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TypeVar

from attrs import define, field, frozen

from adapters.codecs.events import encode
from adapters.memory.overlay import Overlay
from application.execution.after_commit import Committed
from application.ports.api_keys import ApiKey
from application.ports.audit import AuditEntry
from application.ports.catalogue import EarlierPrice
from application.ports.environment import Clock
from application.ports.feed import Position
from application.ports.files import StoredFile
from application.ports.idempotency import IdempotencyKey
from application.ports.outbox import Announcement, OutboxEntry
from domain.catalogue.product import Product, StockAdjustment
from domain.dead_letter import DeadLetter
from domain.ids import EndpointId, JobId, OrderId, PaymentId, ProductId
from domain.jobs.job import Job
from domain.message import Message
from domain.money import Money
from domain.orders.events import Event, EventId, event_id
from domain.orders.order import Order
from domain.orders.time_to_pay import OpenPeriod
from domain.payments.payment import Payment
from domain.webhooks.delivery import Delivery, DeliveryId
from domain.webhooks.endpoint import Endpoint
from domain.webhooks.progress import Progress

# The fingerprint, the answer as bytes, so that no caller can change it, and when it was given.
StoredAnswer = tuple[str, bytes, datetime]
# A delivery, and a line about each of its attempts.
KeptDelivery = tuple[Delivery, str]


@frozen
class KeptFile:
    """A file with its content, and when it has grown last."""

    file: StoredFile
    content: bytes = field(repr=False)
    at: datetime


@frozen
class KeptAnnouncement:
    """An announcement that was put off, and the moment until which it waits."""

    announcement: Announcement
    not_before: datetime


@frozen
class Lease:
    """The one process that may do something, since when, and until when."""

    holder: str
    since: datetime
    until: datetime


@frozen
class Checked:
    """How many discrepancies of one kind the last check has found, and when one last saw everything."""

    found: int
    at: datetime | None


def _utc_now() -> datetime:
    return datetime.now(UTC)


@define(eq=False)
class MemoryStore:
    """The committed data. It holds its own copies, so that no caller can change them."""

    orders: dict[OrderId, Order] = field(factory=dict)
    products: dict[ProductId, Product] = field(factory=dict)
    payments: dict[PaymentId, Payment] = field(factory=dict)
    adjustments: list[StockAdjustment] = field(factory=list)
    earlier_prices: dict[tuple[ProductId, Money], EarlierPrice] = field(factory=dict)
    events: dict[EventId, Event] = field(factory=dict)
    outbox: dict[int, OutboxEntry] = field(factory=dict)
    last_position: int = 0
    announcements: dict[int, KeptAnnouncement] = field(factory=dict)
    waiting_work: dict[int, OutboxEntry] = field(factory=dict)
    # The events that have no position in the feed yet, and those that have one, by position.
    feed_queue: list[EventId] = field(factory=list)
    feed: dict[Position, tuple[EventId, datetime]] = field(factory=dict)
    feed_given: Position = field(default=Position(0))
    feed_pruned: Position = field(default=Position(0))
    leases: dict[str, Lease] = field(factory=dict)
    idempotency_keys: dict[IdempotencyKey, StoredAnswer] = field(factory=dict)
    dead_letters: dict[int, DeadLetter] = field(factory=dict)
    api_keys: dict[str, ApiKey] = field(factory=dict)
    # By id: when it would be over by itself.
    ended_sessions: dict[str, datetime] = field(factory=dict)
    jobs: dict[JobId, Job] = field(factory=dict)
    messages: dict[JobId, Message] = field(factory=dict)
    files: dict[tuple[JobId, str], KeptFile] = field(factory=dict)
    audit: list[AuditEntry] = field(factory=list)
    checked: dict[str, Checked] = field(factory=dict)
    webhook_endpoints: dict[EndpointId, Endpoint] = field(factory=dict)
    webhook_progress: dict[EndpointId, Progress] = field(factory=dict)
    webhook_deliveries: dict[DeliveryId, KeptDelivery] = field(factory=dict)
    # When each order was recorded, or what counts as that time.
    recorded_at: dict[OrderId, datetime] = field(factory=dict)
    # The newest last.
    open_periods: list[OpenPeriod] = field(factory=list)
    reset_at: datetime | None = None
    secret: bytes = bytes(32)
    # The clock of the database, by which orders are recorded and leases end.
    now: Clock = field(default=_utc_now, kw_only=True)
    # One writer at a time, which is the strictest isolation. Another lock given here may allow more.
    writing: AbstractAsyncContextManager[None] = field(factory=asyncio.Lock)


@define(eq=False)
class Changes:
    """A store as one transaction sees it: its own writes over the committed data."""

    store: MemoryStore
    orders: Overlay[OrderId, Order] = field(init=False)
    products: Overlay[ProductId, Product] = field(init=False)
    payments: Overlay[PaymentId, Payment] = field(init=False)
    dead_letters: Overlay[int, DeadLetter] = field(init=False)
    adjustments: list[StockAdjustment] = field(factory=list, init=False)
    earlier_prices: Overlay[tuple[ProductId, Money], EarlierPrice] = field(init=False)
    events: dict[EventId, Event] = field(factory=dict, init=False)
    sending: list[Event] = field(factory=list, init=False)
    sent: set[int] = field(factory=set, init=False)
    # None for one that is removed.
    announcements: dict[int, KeptAnnouncement | None] = field(factory=dict, init=False)
    waiting_work: dict[int, OutboxEntry | None] = field(factory=dict, init=False)
    # The events that get positions in this transaction, and the last position that it prunes.
    fed: dict[Position, tuple[EventId, datetime]] = field(factory=dict, init=False)
    feed_pruned: Position = field(default=Position(0), init=False)
    leases: Overlay[str, Lease] = field(init=False)
    idempotency_keys: Overlay[IdempotencyKey, StoredAnswer] = field(init=False)
    jobs: Overlay[JobId, Job] = field(init=False)
    removed_jobs: set[JobId] = field(factory=set, init=False)
    messages: Overlay[JobId, Message] = field(init=False)
    # None for one that is removed.
    files: dict[tuple[JobId, str], KeptFile | None] = field(factory=dict, init=False)
    pruned_keys: set[IdempotencyKey] = field(factory=set, init=False)
    recorded_at: Overlay[OrderId, datetime] = field(init=False)
    api_keys: Overlay[str, ApiKey] = field(init=False)
    # None for one that is removed.
    ended_sessions: dict[str, datetime | None] = field(factory=dict, init=False)
    audit: list[AuditEntry] = field(factory=list, init=False)
    checked: Overlay[str, Checked] = field(init=False)
    webhook_endpoints: Overlay[EndpointId, Endpoint] = field(init=False)
    webhook_progress: Overlay[EndpointId, Progress] = field(init=False)
    # None for one that is removed.
    webhook_deliveries: dict[DeliveryId, KeptDelivery | None] = field(factory=dict, init=False)
    # The open periods from this transaction on, if it has noted one.
    open_periods: list[OpenPeriod] | None = field(default=None, init=False)
    committed: Committed = field(factory=Committed, init=False)

    def __attrs_post_init__(self) -> None:
        self.orders = Overlay(self.store.orders)
        self.products = Overlay(self.store.products)
        self.payments = Overlay(self.store.payments)
        self.earlier_prices = Overlay(self.store.earlier_prices)
        self.idempotency_keys = Overlay(self.store.idempotency_keys)
        self.dead_letters = Overlay(self.store.dead_letters)
        self.leases = Overlay(self.store.leases)
        self.jobs = Overlay(self.store.jobs)
        self.messages = Overlay(self.store.messages)
        self.recorded_at = Overlay(self.store.recorded_at)
        self.api_keys = Overlay(self.store.api_keys)
        self.checked = Overlay(self.store.checked)
        self.webhook_endpoints = Overlay(self.store.webhook_endpoints)
        self.webhook_progress = Overlay(self.store.webhook_progress)

    def waiting_announcements(self) -> dict[int, KeptAnnouncement]:
        return _changed(self.store.announcements, self.announcements)

    def work_that_waits(self) -> dict[int, OutboxEntry]:
        return _changed(self.store.waiting_work, self.waiting_work)

    def files_there(self) -> dict[tuple[JobId, str], KeptFile]:
        return _changed(self.store.files, self.files)

    def sessions_that_ended(self) -> dict[str, datetime]:
        return _changed(self.store.ended_sessions, self.ended_sessions)

    def webhook_deliveries_there(self) -> dict[DeliveryId, KeptDelivery]:
        return _changed(self.store.webhook_deliveries, self.webhook_deliveries)

    def commit(self) -> None:
        store = self.store
        store.orders.update(self.orders.written)
        store.products.update(self.products.written)
        store.payments.update(self.payments.written)
        store.earlier_prices.update(self.earlier_prices.written)
        store.dead_letters.update(self.dead_letters.written)
        store.leases.update(self.leases.written)
        store.jobs.update(self.jobs.written)
        for job_id in self.removed_jobs:
            store.jobs.pop(job_id, None)
        store.messages.update(self.messages.written)
        store.files = self.files_there()
        store.recorded_at.update(self.recorded_at.written)
        store.api_keys.update(self.api_keys.written)
        store.ended_sessions = self.sessions_that_ended()
        store.audit += self.audit
        store.checked.update(self.checked.written)
        store.webhook_endpoints.update(self.webhook_endpoints.written)
        store.webhook_progress.update(self.webhook_progress.written)
        store.webhook_deliveries = self.webhook_deliveries_there()
        if self.open_periods is not None:
            store.open_periods = self.open_periods
        store.adjustments += self.adjustments
        store.events |= self.events
        self._commit_feed()
        store.idempotency_keys.update(self.idempotency_keys.written)
        for key in self.pruned_keys:
            store.idempotency_keys.pop(key, None)
        for position in self.sent:
            store.outbox.pop(position, None)
        store.announcements = self.waiting_announcements()
        store.waiting_work = self.work_that_waits()
        for event in self.sending:
            store.last_position += 1
            store.outbox[store.last_position] = OutboxEntry(
                store.last_position, event_id(event), event.type, encode(event)
            )

    def _commit_feed(self) -> None:
        store = self.store
        store.feed_queue += self.events
        if self.fed:
            store.feed |= self.fed
            store.feed_given = max(self.fed)
            given = {id_ for id_, _ in self.fed.values()}
            store.feed_queue = [id_ for id_ in store.feed_queue if id_ not in given]
        if self.feed_pruned > store.feed_pruned:
            store.feed_pruned = self.feed_pruned
            store.feed = {position: each for position, each in store.feed.items() if position > self.feed_pruned}


K = TypeVar("K")
T = TypeVar("T")


def _changed(kept: dict[K, T], changes: Mapping[K, T | None]) -> dict[K, T]:
    """By position, or another key. A change to None removes."""
    if not changes:
        return kept
    return {position: each for position, each in sorted({**kept, **changes}.items()) if each is not None}
