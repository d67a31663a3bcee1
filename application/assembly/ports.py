"""The adapters behind all ports, as the assembly needs them."""

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from application.admin.reset_shop import Empty
from application.execution.after_commit import AfterCommit, Committed, tell_nobody
from application.messaging.subscriptions import WorkQueue
from application.payments.provider_calls import ProviderCalls
from application.ports.caching import AcceptedChanges, CacheFence, CatalogueCache, PriceList, RecentOrders, StockCache
from application.ports.carts import Carts
from application.ports.environment import Clock, Elapsed, NewId, NewSecret, loop_time
from application.ports.messaging import DeadLetterQueue, EventPublisher, IntakeQueue, OutboxSignal, Subscription
from application.ports.outbox import OutboxEntry
from application.ports.overview import Overview, Queues
from application.ports.payments import PaymentProvider, ProviderLedger
from application.ports.persistence import UnitOfWork
from application.ports.reset import ResetData
from application.ports.rows import RowParsers, RowWriter
from application.ports.telemetry import NoTelemetry, Telemetry, Tracer
from application.ports.webhooks import WebhookMessages, WebhookTransport


@frozen(kw_only=True)
class Ports:
    """The adapters behind all ports. Making an adapter opens no connection, so an unused one costs nothing."""

    # Made with the work that follows each commit.
    unit_of_work: Callable[[AfterCommit], UnitOfWork]
    recent_orders: RecentOrders
    # The orders that this process has queued. They can be read here while the shared recent orders can't.
    queued_here: RecentOrders
    accepted_changes: AcceptedChanges
    catalogue_cache: CatalogueCache
    stock_cache: StockCache
    carts: Carts
    cache_fence: CacheFence
    price_list: PriceList
    outbox_signal: OutboxSignal
    # Tells the readers of the feed in this process that there are new positions.
    feed_signal: OutboxSignal
    publisher: EventPublisher
    intake_queue: IntakeQueue
    subscription: Callable[[WorkQueue], Subscription]
    dead_letter_queue: Callable[[WorkQueue], DeadLetterQueue]
    provider: PaymentProvider
    provider_ledger: ProviderLedger
    # Notes how the calls to the provider go.
    provider_calls: ProviderCalls
    reset_data: ResetData
    empty_queues: Empty
    # Empties those of this process, and those that are shared.
    forget_caches: Empty
    # By the name of the format.
    row_writers: Mapping[str, RowWriter]
    row_parsers: RowParsers
    webhook_transport: WebhookTransport
    webhook_messages: WebhookMessages
    now: Clock
    new_id: NewId
    new_secret: NewSecret
    elapsed: Elapsed = field(default=loop_time)
    # The name under which this process holds the lease on the outbox.
    relay_name: str
    telemetry: Telemetry = field(factory=NoTelemetry)
    overview: Overview
    queues: Queues
    # None if nothing is traced.
    tracer: Tracer | None = None
    # Told of every order that a committed transaction changed.
    order_log: Callable[[Committed], None] = tell_nobody
    # Told of every event that the relay is done with.
    relay_log: Callable[[Sequence[OutboxEntry]], None] = tell_nobody
