"""Fills a database with orders, as years of business leave them.

The use cases process some orders from beginning to end. PostgreSQL then copies these, each copy with its own ids,
customer and times. So a copy has its rows in every table, stock adjustments cover the units that the copies hold, and
`holdfast reconcile` finds nothing.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from attrs import field, frozen
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.payments.simulated.ledger import Ledger, LedgerEntry, Outcome
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from application.execution.idempotency import Keyed
from application.intake.order_request import NumberedRequest, OrderRequest, RequestedItem
from application.intake.place_order import PlaceOrder
from application.orders.changing import change_each
from application.orders.complete_order import CompleteOrder
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork
from bench.copies import CUSTOMER, MAKER, OWN, begin_copies, copy_orders
from domain.catalogue.product import Product
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.money import Money
from domain.orders.status import OrderStatus

_PRODUCTS: Final = 1_000
_TEMPLATES: Final = 1_000
_CHUNK: Final = 20_000
_CHUNKS_AT_ONCE: Final = 2
_ENTERED_AT_ONCE: Final = 256
# The final statuses of a hundred orders.
_FATES: Final[Mapping[OrderStatus, int]] = MappingProxyType(
    {
        OrderStatus.COMPLETED: 63,
        OrderStatus.PAID: 8,
        OrderStatus.CANCELLED: 9,
        OrderStatus.EXPIRED: 12,
        OrderStatus.FAILED: 5,
        OrderStatus.REFUNDED: 3,
    }
)
_DAYS: Final = 365
_ORDERS_OF_A_CUSTOMER: Final = 10
# One order in so many still waits to be paid for, and was placed in these last minutes.
_PENDING_ONE_IN: Final = 200
_PENDING_MINUTES: Final = 20

Progress = Callable[[int], None]


async def fill(engine: AsyncEngine, ledger: Ledger, *, count: int, progress: Progress = lambda _: None) -> None:
    """Add this many orders, and their charges to the provider's ledger. Yield the size of each portion."""
    now = datetime.now(UTC)
    copies = _Copies(*await _live_through(SqlUnitOfWork(engine), ledger, now), now, count)
    begins, entering = iter(range(0, count, _CHUNK)), asyncio.Lock()

    async def copy_chunks() -> None:
        async with engine.connect() as connection:
            await begin_copies(connection)
            for begin in begins:
                end = min(begin + _CHUNK, count)
                charges = await copy_orders(connection, copies.chosen(begin, end))
                await connection.commit()
                async with entering:
                    await _enter(ledger, [_entry(row, now) for row in charges])
                progress(end - begin)

    # The next copies are chosen while the database makes the current ones, so that a second core is used.
    await asyncio.gather(*(copy_chunks() for _ in range(_CHUNKS_AT_ONCE)))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))


async def _live_through(
    unit_of_work: UnitOfWork, ledger: Ledger, now: datetime
) -> tuple[Sequence[OrderId], Sequence[OrderId]]:
    """Place orders and go on with them: those that have ended, long ago, and those that wait to be paid for."""
    new = [
        NewProduct(name=f"Article {number}", price=Money(100 + number, "EUR"), stock=1_000_000)
        for number in range(_PRODUCTS)
    ]
    added = await AddProducts(unit_of_work, lambda: now)(the_system(MAKER), new)
    products = [product.id for product in added if isinstance(product, Product)]
    chance = Random(_TEMPLATES)  # noqa: S311 - the same shop each time
    long_ago = _Shop(unit_of_work, ledger, chance, products, now - timedelta(days=_DAYS))
    ended = [
        id_ for fate, share in _FATES.items() for id_ in await long_ago.live_through(fate, _TEMPLATES * share // 100)
    ]
    chance.shuffle(ended)
    today = _Shop(unit_of_work, ledger, chance, products, now)
    return ended, await today.live_through(OrderStatus.PENDING, _TEMPLATES // 10)


@frozen
class _Shop:
    """The use cases, at one moment."""

    _unit_of_work: UnitOfWork
    _ledger: Ledger
    _chance: Random
    _products: Sequence[ProductId]
    _at: datetime

    async def live_through(self, fate: OrderStatus, count: int) -> list[OrderId]:
        """Orders that end in this status."""
        ids = [OrderId(uuid7()) for _ in range(count)]
        await PlaceOrder(self._unit_of_work)([self._request(id_) for id_ in ids])
        match fate:
            case OrderStatus.EXPIRED:
                await change_each(self._unit_of_work, ids, lambda order, _: order.expire(at=self._at))
            case OrderStatus.CANCELLED:
                await change_each(self._unit_of_work, ids, lambda order, _: order.cancel(at=self._at))
            case OrderStatus.FAILED:
                await self._pay(ids, decline_rate=1.0)
            case OrderStatus.PAID:
                await self._pay(ids)
            case OrderStatus.COMPLETED:
                await self._pay(ids)
                await CompleteOrder(self._unit_of_work, self._now)(ids)
            case OrderStatus.REFUNDED:
                await self._pay(ids)
                await self._refund(ids)
        await self._empty_outbox(ids)
        return ids

    def _now(self) -> datetime:
        return self._at

    def _request(self, id_: OrderId) -> Keyed[NumberedRequest]:
        items = [
            RequestedItem(product_id, self._chance.randint(1, 3))
            for product_id in self._chance.sample(self._products, self._chance.choice([1, 1, 2, 2, 3, 5]))
        ]
        key = IdempotencyKey(f"customer {CUSTOMER}", str(id_))
        wanted = OrderRequest(UserId(CUSTOMER), tuple(items))
        return Keyed(NumberedRequest(id_, self._at, wanted), key, "as the first time")

    async def _pay(self, ids: Sequence[OrderId], *, decline_rate: float = 0.0) -> None:
        gateway = SimulatedGateway(self._ledger, decline_rate=decline_rate)
        await RequestPayment(self._unit_of_work, self._now)(ids)
        await ProviderPipeline(ProcessPayment(self._unit_of_work, gateway, self._now)).until_done(ids)

    async def _refund(self, ids: Sequence[OrderId]) -> None:
        await RequestRefund(self._unit_of_work, self._now)(ids)
        refund = RefundOrder(self._unit_of_work, SimulatedGateway(self._ledger), self._now)
        await ProviderPipeline(refund).until_done(ids)

    async def _empty_outbox(self, ids: Collection[OrderId]) -> None:
        """Remove the events from the outbox, and give them their positions, as if they had been relayed."""
        last: int | None = None
        given = 1
        while given:
            async with self._unit_of_work() as tx:
                given = await tx.feed.give_positions(by="fill", limit=1_000)
                await tx.feed.release(by="fill")
        async with self._unit_of_work() as tx:
            while page := await tx.outbox.page(after=last, limit=1_000):
                await tx.outbox.remove([entry for entry in page if entry.id.order_id in ids])
                last = page[-1].position


@frozen
class _Copies:
    """The values of a copy that differ from its template, chosen at random, with the same seed each time."""

    _ended: Sequence[OrderId]
    _pending: Sequence[OrderId]
    _now: datetime
    _count: int
    _chance: Random = field(factory=partial(Random, _TEMPLATES))

    def chosen(self, begin: int, end: int) -> dict[str, list[Any]]:
        """Those from one number to another, oldest first, as a column of each thing."""
        rows = [self._choose(number) for number in range(begin, end)]
        return dict(zip(OWN, map(list, zip(*rows, strict=True)), strict=True))

    def _choose(self, number: int) -> tuple[Any, ...]:
        pending = self._count // _PENDING_ONE_IN
        ended = self._count - pending
        if number < ended:
            template = self._chance.choice(self._ended)
            at = self._now - timedelta(days=1) - timedelta(days=_DAYS - 1) * (1 - number / ended)
        else:
            template = self._chance.choice(self._pending)
            at = self._now - timedelta(minutes=_PENDING_MINUTES) * ((self._count - number) / pending)
        user_id = self._chance.randint(1, max(self._count // _ORDERS_OF_A_CUSTOMER, 1))
        return template, self._rising_id(at), self._rising_id(at), user_id, at

    def _rising_id(self, at: datetime) -> UUID:
        """As UUIDv7, of another time than now."""
        random = self._chance.getrandbits(74)
        milliseconds = int(at.timestamp() * 1000)
        return UUID(int=milliseconds << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (2**62 - 1))


async def _enter(ledger: Ledger, entries: Sequence[LedgerEntry]) -> None:
    """One portion after the other, because the ledger sheds calls that wait too long."""
    for begin in range(0, len(entries), _ENTERED_AT_ONCE):
        await asyncio.gather(*map(ledger.enter, entries[begin : begin + _ENTERED_AT_ONCE]))


def _entry(payment: Row[Any], at: datetime) -> LedgerEntry:
    return LedgerEntry(
        key=PaymentId(payment.id),
        amount=Money(payment.amount, payment.currency),
        outcome=Outcome.CHARGED,
        reference=payment.provider_reference,
        refunded=payment.status == "REFUNDED",
        at=at,
    )
