from collections import ChainMap, Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from attrs import define, field, frozen

from adapters.after_commit import AfterCommit, tell_nobody
from adapters.memory.copies import copied
from adapters.memory.dead_letters import MemoryDeadLetters
from adapters.memory.idempotency_keys import MemoryIdempotencyKeys
from adapters.memory.store import Changes, MemoryStore
from application.ports import Aborted, OrderConflict, OutboxEntry, StockCount, Transaction
from domain.events import Event, EventId, event_id
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.order import Order, OrderStatus
from domain.payment import Payment
from domain.product import Product, StockAdjustment

# Where an order stands in time.
_Place = tuple[datetime, OrderId]


@define(eq=False)
class MemoryUnitOfWork:
    """Transactions on a store in memory. What they write is seen by others when they commit."""

    _store: MemoryStore = field(factory=MemoryStore)
    _after_commit: AfterCommit = tell_nobody

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._snapshot()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction, None]:
        async with self._store.writing:
            changes = Changes(self._store)
            yield MemoryTransaction(changes)
            changes.commit()
        await self._after_commit(changes.committed)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Transaction, None]:
        yield MemoryTransaction(Changes(self._store))


@frozen
class MemoryTransaction:
    """What one transaction has changed, and the repositories that change it, each made when it is asked for."""

    _changes: Changes

    @property
    def orders(self) -> "MemoryOrders":
        return MemoryOrders(self._changes)

    @property
    def products(self) -> "MemoryProducts":
        return MemoryProducts(self._changes)

    @property
    def stock_adjustments(self) -> "MemoryStockAdjustments":
        return MemoryStockAdjustments(self._changes)

    @property
    def payments(self) -> "MemoryPayments":
        return MemoryPayments(self._changes)

    @property
    def events(self) -> "MemoryEvents":
        return MemoryEvents(self._changes)

    @property
    def outbox(self) -> "MemoryOutbox":
        return MemoryOutbox(self._changes)

    @property
    def inbox(self) -> "MemoryInbox":
        return MemoryInbox(self._changes)

    @property
    def idempotency_keys(self) -> MemoryIdempotencyKeys:
        return MemoryIdempotencyKeys(self._changes.idempotency_keys, self._changes.committed)

    @property
    def dead_letters(self) -> MemoryDeadLetters:
        return MemoryDeadLetters(self._changes.dead_letters)


@frozen
class MemoryOrders:
    _changes: Changes

    async def add_many(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.id in self._changes.orders:
                raise Aborted(f"order {order.id} exists already")
            self._changes.orders[order.id] = copied(order)
        self._changes.committed.orders += orders

    async def get_many(
        self,
        ids: Collection[OrderId],
        *,
        lock: bool = False,
    ) -> dict[OrderId, Order]:
        found = {id_: copied(self._changes.orders[id_]) for id_ in sorted(ids) if id_ in self._changes.orders}
        if lock:
            # There is one writer, who has locked everything anyway.
            self._changes.committed.see(found.values())
        return found

    async def save_many(self, orders: Sequence[Order]) -> None:
        for order in orders:
            stored = self._changes.orders.get(order.id)
            if stored is None or stored.version != order.version - 1:
                raise OrderConflict(f"order {order.id} changed since it was read")
            self._changes.orders[order.id] = copied(order)
        self._changes.committed.orders += orders

    async def page(
        self, *, user_id: UserId | None, status: OrderStatus | None, before: OrderId | None, limit: int
    ) -> list[Order]:
        found = [
            order
            for order in self._changes.orders.values()
            if not order.deleted and user_id in {None, order.user_id} and status in {None, order.status}
        ]
        newest_first = sorted(self._beside(found, before, lambda place, start: place < start), key=_place, reverse=True)
        return [copied(order) for order in newest_first[:limit]]

    async def unpaid_since(self, moment: datetime, *, after: OrderId | None, limit: int) -> list[OrderId]:
        found = [
            order
            for order in self._changes.orders.values()
            if order.status is OrderStatus.PENDING and not order.deleted and order.created_at <= moment
        ]
        oldest_first = sorted(self._beside(found, after, lambda place, start: place > start), key=_place)
        return [order.id for order in oldest_first[:limit]]

    async def waiting_since(self, moment: datetime, *, after: OrderId | None, limit: int) -> list[OrderId]:
        ids = [
            order.id
            for order in self._changes.orders.values()
            if order.updated_at <= moment
            and (
                order.status is OrderStatus.PROCESSING
                or (order.refund_requested and order.status is not OrderStatus.REFUNDED)
            )
        ]
        return sorted(id_ for id_ in ids if after is None or id_ > after)[:limit]

    def _beside(
        self, orders: Sequence[Order], of: OrderId | None, side: Callable[[_Place, _Place], bool]
    ) -> Sequence[Order]:
        """Those on one side of an order, in time."""
        if of is None:
            return orders
        start = self._changes.orders.get(of)
        return [order for order in orders if start is not None and side(_place(order), _place(start))]


def _place(order: Order) -> _Place:
    return order.created_at, order.id


@frozen
class MemoryProducts:
    _changes: Changes

    async def add_many(self, products: Sequence[Product]) -> None:
        for product in products:
            if product.id in self._changes.products:
                raise Aborted(f"product {product.id} exists already")
            self._changes.products[product.id] = copied(product)
            self._changes.committed.catalogue = True

    async def get_many(
        self,
        ids: Collection[ProductId],
        *,
        lock: bool = False,  # noqa: ARG002 - there is one writer, who has locked everything
    ) -> dict[ProductId, Product]:
        return {id_: copied(self._changes.products[id_]) for id_ in sorted(ids) if id_ in self._changes.products}

    async def save_many(self, products: Sequence[Product]) -> None:
        for product in products:
            self._changes.products[product.id] = copied(product)
            self._changes.committed.catalogue = True

    async def page(self, *, after: ProductId | None, limit: int) -> list[Product]:
        ids = sorted(id_ for id_ in self._changes.products if after is None or id_ > after)
        return [copied(self._changes.products[id_]) for id_ in ids[:limit]]

    async def last_id(self) -> ProductId:
        return max(self._changes.products, default=ProductId(0))

    async def stock_counts(self, *, after: ProductId | None, limit: int) -> list[StockCount]:
        products = await self.page(after=after, limit=limit)
        counted_in = await MemoryStockAdjustments(self._changes).totals({product.id for product in products})
        held = Counter[ProductId]()
        for order in self._changes.orders.values():
            if order.holds_stock:
                held.update({line.product_id: line.quantity for line in order.lines})
        return [StockCount(p.id, p.stock, held[p.id], counted_in[p.id]) for p in products]


@frozen
class MemoryStockAdjustments:
    _changes: Changes

    async def add_many(self, adjustments: Sequence[StockAdjustment]) -> None:
        self._changes.adjustments.extend(adjustments)

    async def totals(self, ids: Collection[ProductId]) -> dict[ProductId, int]:
        totals = dict.fromkeys(ids, 0)
        for adjustment in [*self._changes.store.adjustments, *self._changes.adjustments]:
            if adjustment.product_id in totals:
                totals[adjustment.product_id] += adjustment.change
        return totals


@frozen
class MemoryPayments:
    _changes: Changes

    async def add_many(self, payments: Sequence[Payment]) -> None:
        await self.save_many(payments)

    async def get_many(self, ids: Collection[PaymentId]) -> dict[PaymentId, Payment]:
        return {id_: copied(self._changes.payments[id_]) for id_ in sorted(ids) if id_ in self._changes.payments}

    async def save_many(self, payments: Sequence[Payment]) -> None:
        for payment in payments:
            self._changes.payments[payment.id] = copied(payment)


@frozen
class MemoryEvents:
    _changes: Changes

    async def add_many(self, events: Sequence[Event]) -> None:
        for event in events:
            id_ = event_id(event)
            if id_ in self._changes.store.events or id_ in self._changes.events:
                raise OrderConflict(f"order {event.order_id} has an event {event.sequence} already")
            self._changes.events[id_] = event
            self._changes.sending.append(event)
            self._changes.committed.events = True

    async def of_orders(self, ids: Collection[OrderId]) -> list[Event]:
        found = ChainMap(self._changes.events, self._changes.store.events)
        return [found[id_] for id_ in sorted(found) if id_.order_id in ids]


@frozen
class MemoryOutbox:
    _changes: Changes

    async def claim(
        self,
        *,
        by: str,  # noqa: ARG002 - a store in memory has one process, and so one relay
        limit: int,
    ) -> list[OutboxEntry]:
        waiting = self._changes.store.outbox.items()
        return [entry for position, entry in waiting if position not in self._changes.sent][:limit]

    async def release(self, *, by: str) -> None:
        """There is one relay, which claims nothing that another could want."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.sent.update(entry.position for entry in entries)

    async def put_back(self, events: Sequence[Event]) -> None:
        here = {entry.id for entry in self._changes.store.outbox.values()}
        missing = [event for event in events if event_id(event) not in here]
        self._changes.sending.extend(missing)
        self._changes.committed.events |= bool(missing)

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [entry for position, entry in self._changes.store.outbox.items() if position > (after or 0)][:limit]


@frozen
class MemoryInbox:
    _changes: Changes

    async def unseen(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        committed, own = self._changes.store.inbox, self._changes.inbox
        return {id_ for id_ in ids if (consumer, id_) not in committed and (consumer, id_) not in own}

    async def record(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        fresh = await self.unseen(consumer, ids)
        self._changes.inbox.update((consumer, id_) for id_ in fresh)
        return fresh
