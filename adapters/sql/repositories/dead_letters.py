from collections.abc import Collection, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeVar

from attrs import frozen
from sqlalchemy import Executable, Row, Select, bindparam, case, func, literal, literal_column, select, text, update

from adapters.codecs.events import decode_if_readable
from adapters.sql.core.bulk import Written
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.dead_letters import UNDECIDED, dead_letters
from domain.dead_letter import DeadLetter, DeadMessage, Decision
from domain.dead_letter_groups import CAUSE_IN, LetterSummary

E = TypeVar("E")

# What is written into each column: by whoever sets a message aside, and by whoever decides. `_letter` reads it.
_RECORDED: Final[Written[DeadMessage]] = {
    name: attrgetter(name) for name in ("digest", "body", "reason", "attempts", "first_at", "last_at")
}
_DECIDED: Final[Written[DeadLetter]] = {
    "decision": lambda letter: letter.decision.value if letter.decision else None,
    "decided_by": attrgetter("decided_by"),
    "decided_at": attrgetter("decided_at"),
}


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        consumer=row.consumer,
        message=DeadMessage(
            body=row.body, reason=row.reason, attempts=row.attempts, first_at=row.first_at, last_at=row.last_at
        ),
        event=decode_if_readable(row.body),
        decision=Decision(row.decision) if row.decision else None,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )


_ALL: Final = select(*dead_letters.c)
_BY_ID: Final = _ALL.where(among(dead_letters.c.id, "ids"))
_BY_ID_LOCKED: Final = _BY_ID.order_by(dead_letters.c.id).with_for_update()


@cache
def _record(dialect: SqlDialect) -> Executable:
    return dialect.inserts.upsert(
        dead_letters,
        {name: bindparam(f"new_{name}") for name in ("consumer", *_RECORDED)},
        key=[dead_letters.c.consumer, dead_letters.c.digest],
        key_where=UNDECIDED,
        changes=lambda new: {
            "reason": new.reason,
            "attempts": dead_letters.c.attempts + new.attempts,
            "last_at": new.last_at,
        },
        # Otherwise it is the same occasion, told of a second time.
        where=lambda new: dead_letters.c.last_at < new.last_at,
    )


_SAVE: Final = (
    update(dead_letters)
    .values({name: bindparam(f"new_{name}") for name in _DECIDED})
    .where(dead_letters.c.id == bindparam("letter"))
)


def _parameters(written: Written[E], entity: E) -> dict[str, Any]:
    # The name of the column itself means something else to an INSERT or UPDATE.
    return {f"new_{name}": get(entity) for name, get in written.items()}


def _page_of(all_: Select[Any], *, decided: bool) -> Select[Any]:
    page = all_.where(dead_letters.c.id > bindparam("after")).order_by(dead_letters.c.id).limit(bindparam("limit"))
    return page if decided else page.where(dead_letters.c.decision.is_(None))


@cache
def _page(*, decided: bool) -> Select[Any]:
    return _page_of(_ALL, decided=decided)


@cache
def _summaries(*, decided: bool) -> Select[Any]:
    return _page_of(_SUMMARY, decided=decided)


_earlier: Final = dead_letters.alias("earlier")
# By the columns of the index, one look for each letter: PostgreSQL would read all that were ever replayed otherwise.
_REPLAYED_BEFORE: Final = (
    select(literal(1))
    .where(
        _earlier.c.consumer == dead_letters.c.consumer,
        _earlier.c.digest == dead_letters.c.digest,
        text("earlier.decision = 'REPLAYED'"),
    )
    .limit(literal_column("1"))
    .scalar_subquery()
    .is_not(None)
)
_SUMMARY: Final = select(
    dead_letters.c.id,
    dead_letters.c.consumer,
    func.substr(dead_letters.c.reason, 1, CAUSE_IN).label("reason"),
    dead_letters.c.first_at,
    dead_letters.c.last_at,
    case((dead_letters.c.decision.is_(None) & _REPLAYED_BEFORE, 1), else_=0).label("failed_again"),
)


def _summary(row: Row[Any]) -> LetterSummary:
    return LetterSummary(
        id=row.id,
        consumer=row.consumer,
        reason=row.reason,
        first_at=row.first_at,
        last_at=row.last_at,
        failed_again=bool(row.failed_again),
    )


@frozen
class SqlDeadLetters:
    """One statement for each letter: they are few, and bytes fit into no JSON document."""

    _block: TransactionBlock

    async def record(self, consumer: str, messages: Sequence[DeadMessage]) -> None:
        # In the same order everywhere, so that two who record the same don't wait for each other in a circle.
        for message in sorted(messages, key=lambda message: (message.digest, message.last_at)):
            parameters = {"new_consumer": consumer, **_parameters(_RECORDED, message)}
            await self._block.change(_record(self._block.dialect), parameters)

    async def get_many(self, ids: Collection[int], *, lock: bool = False) -> dict[int, DeadLetter]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID_LOCKED if lock else _BY_ID, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("dead letter", row.id, _letter, row) for row in rows}

    async def save_many(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            parameters = {"letter": letter.id, **_parameters(_DECIDED, letter)}
            await self._block.change(_SAVE, parameters)

    async def page(self, *, decided: bool, after: int | None, limit: int) -> list[DeadLetter]:
        rows = await self._block.fetch(_page(decided=decided), {"after": after or 0, "limit": limit})
        return [checked("dead letter", row.id, _letter, row) for row in rows]

    async def summaries(self, *, decided: bool, after: int | None, limit: int) -> list[LetterSummary]:
        rows = await self._block.fetch(_summaries(decided=decided), {"after": after or 0, "limit": limit})
        return [_summary(row) for row in rows]
