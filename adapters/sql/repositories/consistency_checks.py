from collections.abc import Mapping
from functools import cache
from typing import Final

from attrs import frozen
from sqlalchemy import Executable, Integer, bindparam, literal, true

from adapters.sql.core.expressions import FromNow
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.shop import consistency_checks

_KEY: Final = "of_kind"
_FOUND: Final = "is_found"


@cache
def _note(dialect: SqlDialect, whole: bool) -> Executable:  # noqa: FBT001 - `cache` takes it by place
    found = bindparam(_FOUND, type_=Integer())
    values = {"kind": bindparam(_KEY), "found": found} | ({"compared_at": FromNow(literal(0))} if whole else {})
    return dialect.inserts.upsert(
        consistency_checks,
        values,
        key=[consistency_checks.c.kind],
        changes=lambda new: {"found": new.found} | ({"compared_at": new.compared_at} if whole else {}),
        where=lambda _: true(),
    )


@frozen
class SqlConsistencyChecks:
    _block: TransactionBlock

    async def note(self, found: Mapping[str, int], *, whole: bool) -> None:
        # In one sequence, so that two checks at once wait for each other, and not in a circle.
        for kind, count in sorted(found.items()):
            await self._block.change(_note(self._block.dialect, whole), {_KEY: kind, _FOUND: count})
