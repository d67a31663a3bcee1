from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from attrs import evolve, field, frozen

from application.errors import BrokenRow
from application.orders.read_each import each_order, readable_orders
from application.ports.broken import BrokenOrder, BrokenProduct, broken
from application.ports.environment import Clock
from application.ports.payments import Charge, ProviderLedger
from application.ports.persistence import UnitOfWork
from application.reconciliation.discrepancies import (
    Discrepancy,
    of_broken,
    of_broken_product,
    of_charge,
    of_history,
    of_payment,
    of_stock,
)
from application.reconciliation.find_stuck import FindStuck
from application.reconciliation.find_unrecorded import FindUnrecorded
from application.reconciliation.provider import LedgerReads
from application.reconciliation.webhooks import CompareWebhooks
from domain.ids import OrderId, ProductId
from domain.orders.order import Order


@frozen
class Reconcile:
    """The consistency check: compare stock, orders, payments, the provider's ledger, and what others were told of.

    The outbox and the dead letters are looked through for what is stuck. The shop may run meanwhile: a finding about an
    order counts only if two comparisons give the same one. Orders are read before charges, because the provider records
    a charge before the order does. What is broken is named, and costs no other order its comparison. So is a provider
    that is away, silent or too slow: what it does not tell is not compared.
    """

    _unit_of_work: UnitOfWork
    _provider: ProviderLedger
    _now: Clock
    _stuck_after: timedelta
    _find_stuck: FindStuck
    _find_unrecorded: FindUnrecorded
    _compare_webhooks: CompareWebhooks
    _page: int = field(default=500, kw_only=True)
    # In seconds: for a call to the provider's ledger, and for all calls together.
    _call_timeout: float = field(default=30.0, kw_only=True)
    _total_timeout: float = field(default=6 * 3600.0, kw_only=True)

    async def __call__(self) -> list[Discrepancy]:
        ledger = LedgerReads(self._provider, call_timeout=self._call_timeout, total_timeout=self._total_timeout)
        found = await self._stock()
        # One call before any comparison: none is made with a provider that can't be reached.
        await ledger.try_once()
        found += [each async for each in self._orders(ledger)]
        named = {each.what for each in found if each.about == "broken"}
        found += [each async for each in self._charges(ledger) if each.what not in named]
        if ledger.finding is not None:
            found.append(Discrepancy(about="provider", what=ledger.finding))
        # An order whose charge is reported already needs no second finding.
        told = {each.order_id for each in found if each.remedy is not None}
        found += await self._find_stuck(unreachable=ledger.unreachable, told=told)
        found += await self._compare_webhooks()
        return found + await self._find_unrecorded(
            told={each.order_id for each in found if each.about == "dead letter"}
        )

    async def _stock(self) -> list[Discrepancy]:
        found: list[Discrepancy] = []
        last: ProductId | None = None
        async with self._unit_of_work.reading() as tx:
            while counts := await tx.products.stock_counts(after=last, limit=self._page):
                found += of_stock(counts)
                listed = await tx.products.page(after=last, limit=self._page)
                found += map(of_broken_product, broken(listed, BrokenProduct))
                last = counts[-1].product_id
        return found

    async def _orders(self, ledger: LedgerReads) -> AsyncIterator[Discrepancy]:
        last: OrderId | None = None
        while True:
            async with self._unit_of_work.reading() as tx:
                orders = await tx.orders.page(user_id=None, status=None, before=last, limit=self._page)
            if not orders:
                return
            for order in broken(orders, BrokenOrder):
                yield of_broken(order)
            suspects = await self._compare({order.id for order in orders}, ledger)
            again = await self._compare({each.order_id for each in suspects if each.order_id}, ledger)
            for each in again:
                if each in suspects:
                    yield each
            last = orders[-1].id

    async def _compare(self, ids: Collection[OrderId], ledger: LedgerReads) -> list[Discrepancy]:
        try:
            return await self._compare_all(ids, ledger)
        except BrokenRow as error:
            # An event or a payment, which costs no other order its comparison either.
            if len(ids) == 1:
                [id_] = ids
                return [Discrepancy(about="broken", order_id=id_, what=str(error))]
        return [each for id_ in ids for each in await self._compare([id_], ledger)]

    async def _compare_all(self, ids: Collection[OrderId], ledger: LedgerReads) -> list[Discrepancy]:
        async with self._unit_of_work.reading() as tx:
            orders = await readable_orders(tx, ids)
            keys = {order.payment_id for order in orders.values() if order.payment_id}
            payments = await tx.payments.get_many(keys)
            events = await tx.events.of_orders(ids)
        charges = await ledger.charges_of(keys) if keys else {}
        histories = {order_id: list(of_one) for order_id, of_one in groupby(events, key=attrgetter("order_id"))}
        found: list[Discrepancy] = []
        for order in orders.values():
            found += of_history(order, histories.get(order.id, []))
            payment = payments.get(order.payment_id) if order.payment_id else None
            charge = charges.get(order.payment_id) if charges and order.payment_id else None
            found += of_payment(order, payment, charge, asked=ledger.problem is None)
        return found

    async def _charges(self, ledger: LedgerReads) -> AsyncIterator[Discrepancy]:
        async for charges in ledger.pages(limit=self._page):
            suspects = await self._explain(charges)
            keys = {each.charge.key for each in suspects if each.charge}
            # Read after the orders, because a refund is given before it is recorded.
            again = await ledger.charges_of(keys) if keys else None
            for each in await self._explain(list((again or {}).values())):
                if each in suspects:
                    yield each

    async def _explain(self, charges: Sequence[Charge]) -> list[Discrepancy]:
        try:
            return await self._explain_all(charges)
        except BrokenRow as error:
            if len(charges) == 1:
                return [Discrepancy(about="broken", what=str(error), charge=charges[0])]
        return [each for charge in charges for each in await self._explain([charge])]

    async def _explain_all(self, charges: Sequence[Charge]) -> list[Discrepancy]:
        async with self._unit_of_work.reading() as tx:
            payments = await tx.payments.get_many({charge.key for charge in charges})
            orders = await each_order(tx, {payment.order_id for payment in payments.values()})
        found: list[Discrepancy] = []
        for charge in charges:
            payment = payments.get(charge.key)
            order = orders.get(payment.order_id) if payment else None
            if isinstance(order, BrokenOrder):
                # It may be deleted, so that no page of orders has it.
                found += [] if charge.refunded else [evolve(of_broken(order), charge=charge)]
            else:
                found += of_charge(charge, payment, order, stuck=self._is_stuck(order))
        return found

    def _is_stuck(self, order: Order | None) -> bool:
        return order is not None and order.updated_at <= self._moment()

    def _moment(self) -> datetime:
        return self._now() - self._stuck_after
