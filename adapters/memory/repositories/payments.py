from collections.abc import Collection, Sequence

from attrs import frozen

from adapters.memory.copies import copied
from adapters.memory.store import Changes
from domain.ids import PaymentId
from domain.payments.payment import Payment


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
