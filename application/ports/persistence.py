"""The repositories, and the transaction around them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from application.errors import Aborted
from application.ports.api_keys import ApiKey
from application.ports.audit import AuditEntry
from application.ports.broken import BrokenOrder
from application.ports.catalogue import EarlierPrices, Products, StockAdjustments
from application.ports.feed import Feed
from application.ports.files import Files
from application.ports.idempotency import IdempotencyKey, StoredResponse
from application.ports.jobs import Jobs, Messages
from application.ports.order_search import STRETCH, IdsFound, OrderFilter, OrdersFound
from application.ports.outbox import Announcements, Outbox, WaitingWork
from application.ports.reset import Shop
from application.ports.sessions import EndedSessions
from application.ports.webhook_store import WebhookDeliveries, WebhookEndpoints, WebhookProgress
from domain.dead_letter import DeadLetter, DeadMessage
from domain.dead_letter_groups import LetterSummary
from domain.ids import CustomerId, OrderId, PaymentId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.orders.time_to_pay import OpenPeriod
from domain.payments.payment import Payment

# Where an order stands among those that wait: by when it changed last.
WaitingPlace = tuple[datetime, OrderId]


class OrderConflict(Aborted):
    """An order changed since it was read."""


class OrderExists(Aborted):
    """An order is stored under the id of a new one."""


class Orders(Protocol):
    """The orders of the shop. Nothing is tracked: a changed order must be saved."""

    async def add_many(self, orders: Sequence[Order]) -> None:
        """Raise `OrderExists` if an id is taken, and `Aborted` if another order of the customer has the external id.

        The time at which an order is recorded is kept with it, by the database's clock: since then it is payable.
        """

    async def get_many(self, ids: Collection[OrderId], *, lock: bool = False) -> dict[OrderId, Order]:
        """The orders that exist, deleted ones included. With `lock`, locked in the order of their ids.

        Raise `BrokenOrders` if some of them can't be read.
        """

    async def save_many(self, orders: Sequence[Order]) -> None:
        """Save orders that changed once since they were read. Raise `OrderConflict` if another writer changed one."""

    async def page(
        self, *, user_id: CustomerId | None, status: OrderStatus | None, before: OrderId | None, limit: int
    ) -> list[Order | BrokenOrder]:
        """A page of orders after the order `before`, newest first and then by id, without deleted ones.

        Those that can't be read have their place in it. The page is empty if the order `before` doesn't exist.
        """

    async def count(self, *, user_id: CustomerId | None, status: OrderStatus | None = None, most: int) -> int:
        """How many orders `page` would find, up to `most`. No more than these are read."""

    async def search(
        self, wanted: OrderFilter, *, before: OrderId | None, limit: int, stretch: int = STRETCH
    ) -> OrdersFound:
        """Orders that match, after the order `before`, newest first and then by id, without deleted ones.

        At most `stretch` orders are looked at: those that the filter's leading condition leads to. `looked_to` is None
        if all of them were, or if `limit` orders were found.
        """

    async def ids_between(self, first: OrderId, last: OrderId, *, limit: int) -> list[OrderId]:
        """The ids from `first` to `last`, the highest first, also those of deleted orders."""

    async def search_ids(
        self, wanted: OrderFilter, *, before: OrderId | None, limit: int, stretch: int = STRETCH
    ) -> IdsFound:
        """The ids of what `search` finds, without reading the orders themselves."""

    async def with_external_ids(
        self, wanted: Collection[tuple[CustomerId, str]]
    ) -> dict[tuple[CustomerId, str], OrderId]:
        """The orders of these customers with these external ids, without deleted ones."""

    async def unpaid_since(
        self, moment: datetime, *, recorded_after: datetime | None = None, after: OrderId | None, limit: int
    ) -> list[OrderId]:
        """The ids of orders that are PENDING, not deleted, and were recorded at or before the moment.

        Only those after the order `after`, oldest first and then by id. It finds none if the moment is in the future:
        the database's clock was set back after the moment was read from it. With `recorded_after`, it begins behind
        the orders that were recorded earlier.
        """

    async def redate_unpaid(self) -> None:
        """Unpaid orders that were recorded in the future are recorded now: the database's clock was wrong then."""

    async def waiting_since(
        self,
        moment: datetime,
        *,
        since: datetime | None = None,
        ahead: datetime,
        after: WaitingPlace | None,
        limit: int,
    ) -> list[WaitingPlace]:
        """Orders that wait for the worker (PROCESSING, or a refund requested and not given), after the place `after`.

        Only orders that have not changed since the moment, the longest unchanged first and then by id. One that is
        dated later than `ahead` is among them, too: the clock of the process that changed it was wrong, and nobody
        knows how long it has waited. With `since`, it begins behind the orders that changed last before that.
        """


class Payments(Protocol):
    """Every attempt to take money."""

    async def add_many(self, payments: Sequence[Payment]) -> None: ...

    async def get_many(self, ids: Collection[PaymentId]) -> dict[PaymentId, Payment]: ...

    async def save_many(self, payments: Sequence[Payment]) -> None: ...


class Events(Protocol):
    """The history of orders. An event that is added is put into the outbox as well, and waits for its position."""

    async def add_many(self, events: Sequence[Event]) -> None: ...

    async def of_orders(self, ids: Collection[OrderId]) -> list[Event]:
        """By order, then in the order of their sequence numbers."""


class IdempotencyKeys(Protocol):
    """The stored response of each key, written in the same transaction as the effect, and kept until it is pruned."""

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        """The stored response of each key. None means: there is none, and this transaction alone can store one.

        A key that is missing from the result is held by another transaction. This call does not wait for it.
        """

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        """Store the responses of claimed keys. Raise `Aborted` when one of the keys has a response already."""

    async def prune(self, *, older_than: timedelta, after: IdempotencyKey | None, limit: int) -> IdempotencyKey | None:
        """Look at the next `limit` keys above `after`, and remove those whose response was stored longer ago.

        The age is by the clock of the database, which also says when a response was stored. Return the last one looked
        at, or None if there are no more.
        """


class DeadLetters(Protocol):
    """Messages that could not be processed, and the decisions about them."""

    async def record(self, consumer: str, messages: Sequence[DeadMessage]) -> None:
        """Store them. A message that waits already gets more attempts; one that is delivered twice is stored once."""

    async def get_many(self, ids: Collection[int], *, lock: bool = False) -> dict[int, DeadLetter]:
        """The letters that exist. With `lock`, locked until the transaction ends."""

    async def save_many(self, letters: Sequence[DeadLetter]) -> None:
        """Save the decisions about letters that this transaction has locked."""

    async def page(self, *, decided: bool, after: int | None, limit: int) -> list[DeadLetter]:
        """A page of the letters that wait for a decision, or with `decided` of all letters, in the order of arrival."""

    async def summaries(self, *, decided: bool, after: int | None, limit: int) -> list[LetterSummary]:
        """The same page without the messages, which may be large. Reasons end after the part that names a cause."""


class OpenPeriods(Protocol):
    """When the shop was open. One clock counts, the database's, however wrong those of the processes are."""

    async def note(self, *, longest_gap: timedelta) -> None:
        """The shop is open now.

        The time since the last note counts as open up to `longest_gap`; a longer one was an outage. Periods in the
        future are removed: the database's clock was wrong then.
        """

    async def newest(self, *, limit: int) -> list[OpenPeriod]:
        """The newest first, by their beginning."""


class ApiKeys(Protocol):
    """The API keys, by their ids; also those that work no more."""

    async def add_many(self, keys: Sequence[ApiKey]) -> None:
        """Raise `Aborted` when one of the ids is taken."""

    async def get_many(self, ids: Collection[str], *, lock: bool = False) -> dict[str, ApiKey]:
        """The keys that exist. With `lock`, locked until the transaction ends."""

    async def save_many(self, keys: Sequence[ApiKey]) -> None:
        """Save the time until which each of these locked keys works. Nothing else of a key changes."""

    async def note_use(self, ids: Collection[str], *, at: datetime, every: timedelta) -> None:
        """Note that they were used, but not if that was noted less than `every` ago."""

    async def page(self, *, after: str | None, limit: int) -> list[ApiKey]: ...


class Audit(Protocol):
    """Who changed what. No entry is ever changed or removed."""

    async def add_many(self, entries: Sequence[AuditEntry]) -> None: ...

    async def page(
        self, *, subject: str | None, request_id: str | None, action: str | None, before: int | None, limit: int
    ) -> list[AuditEntry]:
        """A page of all entries, or of those about one subject, of one request or of one action, the newest first."""


class ConsistencyChecks(Protocol):
    """What the last consistency check has found, kept for the metrics and for people, who ask after its end."""

    async def note(self, found: Mapping[str, int], *, whole: bool) -> None:
        """Keep what was found and not repaired, of every kind. Only a `whole` check, which saw all, sets the time."""


class Transaction(Protocol):
    """The repositories, all of one transaction."""

    @property
    def orders(self) -> Orders: ...
    @property
    def products(self) -> Products: ...
    @property
    def earlier_prices(self) -> EarlierPrices: ...
    @property
    def stock_adjustments(self) -> StockAdjustments: ...
    @property
    def payments(self) -> Payments: ...
    @property
    def events(self) -> Events: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def announcements(self) -> Announcements: ...
    @property
    def feed(self) -> Feed: ...
    @property
    def waiting_work(self) -> WaitingWork: ...
    @property
    def idempotency_keys(self) -> IdempotencyKeys: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def open_periods(self) -> OpenPeriods: ...
    @property
    def api_keys(self) -> ApiKeys: ...
    @property
    def ended_sessions(self) -> EndedSessions: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def files(self) -> Files: ...
    @property
    def shop(self) -> Shop: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def consistency_checks(self) -> ConsistencyChecks: ...
    @property
    def webhook_endpoints(self) -> WebhookEndpoints: ...
    @property
    def webhook_progress(self) -> WebhookProgress: ...
    @property
    def webhook_deliveries(self) -> WebhookDeliveries: ...


class UnitOfWork(Protocol):
    """The block is the transaction: leaving it commits, raising in it rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[Transaction]: ...

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """A block that only reads committed data, and waits for no writer."""
