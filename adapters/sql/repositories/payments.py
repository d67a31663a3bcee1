from collections.abc import Collection, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Row, Update, insert, select, update

from adapters.sql.core.bulk import BulkStatement, among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables import payments
from domain.ids import PaymentId
from domain.money import Money
from domain.payments.payment import Payment, PaymentStatus

_COLUMNS: Final = tuple(payments.c)
_BY_ID: Final = select(*_COLUMNS).where(among(payments.c.id, "ids"))
_INSERT: Final = BulkStatement(
    _COLUMNS, lambda new: insert(payments).from_select([c.name for c in _COLUMNS], select(new))
)


def _save(new: FromClause) -> Update:
    changes = {"status": new.c.status, "provider_reference": new.c.provider_reference}
    return update(payments).values(changes).where(payments.c.id == new.c.id)


_SAVE: Final = BulkStatement((payments.c.id, payments.c.status, payments.c.provider_reference), _save)


@frozen
class SqlPayments:
    _block: TransactionBlock

    async def add_many(self, payments: Sequence[Payment]) -> None:
        rows = [
            (p.id, p.order_id, p.amount.minor, p.amount.currency, p.status.value, p.provider_reference)
            for p in payments
        ]
        await self._block.change_many(_INSERT, rows)

    async def get_many(self, ids: Collection[PaymentId]) -> dict[PaymentId, Payment]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID, {"ids": list(ids)})
        return {row.id: checked("payment", row.id, _payment, row) for row in rows}

    async def save_many(self, payments: Sequence[Payment]) -> None:
        await self._block.change_many(_SAVE, [(p.id, p.status.value, p.provider_reference) for p in payments])


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        order_id=row.order_id,
        amount=Money(row.amount, row.currency),
        status=PaymentStatus(row.status),
        provider_reference=row.provider_reference,
    )
