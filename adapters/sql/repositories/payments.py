from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Row, Update, select, update

from adapters.sql.core.bulk import BulkStatement, Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.orders import payments
from domain.ids import PaymentId
from domain.money import Money
from domain.payments.payment import Payment, PaymentStatus

# What is written into each column; `_payment` reads it.
_WRITTEN: Final[Written[Payment]] = {
    "id": attrgetter("id"),
    "order_id": attrgetter("order_id"),
    "amount": attrgetter("amount.minor"),
    "currency": attrgetter("amount.currency"),
    "status": attrgetter("status.value"),
    "provider_reference": attrgetter("provider_reference"),
}


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        order_id=row.order_id,
        amount=Money(row.amount, row.currency),
        status=PaymentStatus(row.status),
        provider_reference=row.provider_reference,
    )


# What was agreed when the payment was requested; `save_many` may change everything else.
_AGREED: Final = frozenset({"order_id", "amount", "currency"})
_SAVED: Final = {name: get for name, get in _WRITTEN.items() if name not in _AGREED}

_BY_ID: Final = select(*payments.c).where(among(payments.c.id, "ids"))
_INSERT: Final = bulk_insert(payments, _WRITTEN)


def _save(new: FromClause, _: SqlDialect) -> Update:
    changes = {name: new.c[name] for name in _SAVED if name != "id"}
    return update(payments).values(changes).where(payments.c.id == new.c.id)


_SAVE: Final = BulkStatement(payments, _SAVED, _save)


@frozen
class SqlPayments:
    _block: TransactionBlock

    async def add_many(self, payments: Sequence[Payment]) -> None:
        await self._block.change_many(_INSERT, payments)

    async def get_many(self, ids: Collection[PaymentId]) -> dict[PaymentId, Payment]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID, {"ids": list(ids)})
        return {row.id: checked("payment", row.id, _payment, row) for row in rows}

    async def save_many(self, payments: Sequence[Payment]) -> None:
        await self._block.change_many(_SAVE, payments)
