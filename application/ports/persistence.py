"""What is kept, and the transaction around it."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from attrs import frozen

from application.errors import Aborted
from application.ports.idempotency import IdempotencyKey, StoredResponse
from domain.catalogue.product import Product, StockAdjustment
from domain.dead_letter import DeadLetter, DeadMessage
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.orders.events import Event, EventId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.payments.payment import Payment


class OrderConflict(Aborted):
    """An order changed since it was read."""


class Orders(Protocol):
    """The orders of the shop. Nothing is tracked: a change is kept by saving it."""

    async def add_many(self, orders: Sequence[Order]) -> None: ...

    async def get_many(self, ids: Collection[OrderId], *, lock: bool = False) -> dict[OrderId, Order]:
        """Those that exist, deleted ones included. With `lock`, taken in the order of their ids, and held."""

    async def save_many(self, orders: Sequence[Order]) -> None:
        """Keep orders that have changed once since they were read. Raise `OrderConflict` when another did so too."""

    async def page(
        self, *, user_id: UserId | None, status: OrderStatus | None, before: OrderId | None, limit: int
    ) -> list[Order]:
        """Newest first, without the deleted, only those behind the order `before`; of one moment, by id.

        Behind an order that doesn't exist there is nothing.
        """

    async def unpaid_since(self, moment: datetime, *, after: OrderId | None, limit: int) -> list[OrderId]:
        """Orders that are PENDING, not deleted, and were placed at or before the moment.

        Oldest first, only those behind the order `after`; of one moment, by id.
        """

    async def waiting_since(self, moment: datetime, *, after: OrderId | None, limit: int) -> list[OrderId]:
        """Orders that wait for the worker (PROCESSING, or a refund asked for and not given), by id, above `after`.

        Only those with no change after the moment.
        """


@frozen
class StockCount:
    """Of one product: the units that are left, those that orders hold, and those that were counted in."""

    product_id: ProductId
    left: int
    held: int
    counted_in: int


class Products(Protocol):
    """What the shop sells, and how much of it is left."""

    async def add_many(self, products: Sequence[Product]) -> None:
        """Raise `Aborted` when one of the ids is taken."""

    async def get_many(self, ids: Collection[ProductId], *, lock: bool = False) -> dict[ProductId, Product]:
        """Those that exist. With `lock`, taken in the order of their ids, and held until the transaction ends."""

    async def save_many(self, products: Sequence[Product]) -> None:
        """Keep the stock of products that this transaction has locked."""

    async def page(self, *, after: ProductId | None, limit: int) -> list[Product]:
        """In the order of their ids."""

    async def last_id(self) -> ProductId:
        """The largest id in use, 0 when there are no products."""

    async def stock_counts(self, *, after: ProductId | None, limit: int) -> list[StockCount]:
        """In the order of their ids, all as they are at one moment."""


class StockAdjustments(Protocol):
    """Every change of stock that no order made."""

    async def add_many(self, adjustments: Sequence[StockAdjustment]) -> None: ...

    async def totals(self, ids: Collection[ProductId]) -> dict[ProductId, int]:
        """The sum of each product's adjustments; 0 where there is none."""


class Payments(Protocol):
    """Every attempt to take money."""

    async def add_many(self, payments: Sequence[Payment]) -> None: ...

    async def get_many(self, ids: Collection[PaymentId]) -> dict[PaymentId, Payment]: ...

    async def save_many(self, payments: Sequence[Payment]) -> None: ...


class Events(Protocol):
    """What happened to orders. Whatever is added is put into the outbox as well."""

    async def add_many(self, events: Sequence[Event]) -> None: ...

    async def of_orders(self, ids: Collection[OrderId]) -> list[Event]:
        """By order, then in the order of their sequence numbers."""


@frozen
class OutboxEntry:
    """An event on its way to the broker, as the bytes that will travel. `position` names its place in the outbox."""

    position: int
    id: EventId
    type: str
    body: bytes


class Outbox(Protocol):
    """The events that were not yet handed to the broker."""

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        """The oldest entries, the events of one order in their order; none while another relay holds the claim.

        The claim is the relay's for some seconds from each call on. It ends by itself when the relay is gone.
        """

    async def release(self, *, by: str) -> None:
        """Give up the claim, so that another relay need not wait for its end."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None: ...

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        """Announce once more what the broker seems to have lost. What is here already stays here once."""

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        """The entries in their order, above the position `after`, for somebody who only looks."""


class Inbox(Protocol):
    """What each consumer has already done, written in the same transaction as the doing."""

    async def unseen(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        """Those that were not recorded yet."""

    async def record(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        """Record them as done, and say which of them had not been."""


class IdempotencyKeys(Protocol):
    """What was answered under each key, kept for good, written in the same transaction as what was done."""

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        """What is kept under them; None where nothing is, and nobody else can keep anything until this has ended.

        One that is missing is held by another transaction, for which nobody waits.
        """

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        """Of keys that were claimed. Raise `Aborted` when one of them is kept already."""


class DeadLetters(Protocol):
    """What could not be processed, kept until a person decides, and with the decision from then on."""

    async def record(self, consumer: str, messages: Sequence[DeadMessage]) -> None:
        """Keep them. A message that waits already is the same letter, tried more often; brought twice it is one."""

    async def get_many(self, ids: Collection[int], *, lock: bool = False) -> dict[int, DeadLetter]:
        """Those that exist. With `lock`, held until the transaction ends."""

    async def save_many(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the decisions on letters that this transaction has locked."""

    async def page(self, *, decided: bool, after: int | None, limit: int) -> list[DeadLetter]:
        """In the order in which they came: those that wait for a decision, with `decided` the others as well."""


class Transaction(Protocol):
    """The repositories, all of one transaction."""

    @property
    def orders(self) -> Orders: ...
    @property
    def products(self) -> Products: ...
    @property
    def stock_adjustments(self) -> StockAdjustments: ...
    @property
    def payments(self) -> Payments: ...
    @property
    def events(self) -> Events: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def idempotency_keys(self) -> IdempotencyKeys: ...
    @property
    def dead_letters(self) -> DeadLetters: ...


class UnitOfWork(Protocol):
    """The block is the transaction: leaving it commits, raising in it rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[Transaction]: ...

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """A block that only reads what is committed, and waits for no writer."""
