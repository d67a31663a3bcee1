from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Row, Select, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.codecs.events import decode_if_readable
from adapters.sql.core.bulk import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables import UNDECIDED, dead_letters
from domain.dead_letter import DeadLetter, DeadMessage, Decision

_ALL: Final = select(*dead_letters.c)
_BY_ID: Final = _ALL.where(among(dead_letters.c.id, "ids"))
_BY_ID_LOCKED: Final = _BY_ID.order_by(dead_letters.c.id).with_for_update()


def _record(insert: Any) -> Any:
    named = ("consumer", "digest", "body", "reason", "attempts", "first_at", "last_at")
    new = insert(dead_letters).values({name: bindparam(f"new_{name}") for name in named})
    return new.on_conflict_do_update(
        index_elements=[dead_letters.c.consumer, dead_letters.c.digest],
        index_where=UNDECIDED,
        set_={
            "reason": new.excluded.reason,
            "attempts": dead_letters.c.attempts + new.excluded.attempts,
            "last_at": new.excluded.last_at,
        },
        # Otherwise it is the same occasion, told of a second time.
        where=dead_letters.c.last_at < new.excluded.last_at,
    )


_RECORD: Final = {"postgresql": _record(postgresql.insert), "sqlite": _record(sqlite.insert)}
_SAVE: Final = (
    update(dead_letters)
    .values(
        decision=bindparam("new_decision"),
        decided_by=bindparam("new_decided_by"),
        decided_at=bindparam("new_decided_at"),
    )
    .where(dead_letters.c.id == bindparam("letter"))
)


@cache
def _page(*, decided: bool) -> Select[Any]:
    page = _ALL.where(dead_letters.c.id > bindparam("after")).order_by(dead_letters.c.id).limit(bindparam("limit"))
    return page if decided else page.where(UNDECIDED)


@frozen
class SqlDeadLetters:
    """One statement for each letter: they are few, and bytes fit into no JSON document."""

    _block: TransactionBlock

    async def record(self, consumer: str, messages: Sequence[DeadMessage]) -> None:
        # In the same order everywhere, so that two who record the same don't wait for each other in a circle.
        for message in sorted(messages, key=lambda message: (message.digest, message.last_at)):
            parameters = {
                "new_consumer": consumer,
                "new_digest": message.digest,
                "new_body": message.body,
                "new_reason": message.reason,
                "new_attempts": message.attempts,
                "new_first_at": message.first_at,
                "new_last_at": message.last_at,
            }
            await self._block.change(_RECORD[self._block.dialect.name], parameters)

    async def get_many(self, ids: Collection[int], *, lock: bool = False) -> dict[int, DeadLetter]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID_LOCKED if lock else _BY_ID, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("dead letter", row.id, _letter, row) for row in rows}

    async def save_many(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            parameters = {
                "letter": letter.id,
                "new_decision": letter.decision.value if letter.decision else None,
                "new_decided_by": letter.decided_by,
                "new_decided_at": letter.decided_at,
            }
            await self._block.change(_SAVE, parameters)

    async def page(self, *, decided: bool, after: int | None, limit: int) -> list[DeadLetter]:
        rows = await self._block.fetch(_page(decided=decided), {"after": after or 0, "limit": limit})
        return [checked("dead letter", row.id, _letter, row) for row in rows]


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
