"""The low-water mark of the outbox: no entry below it is there, and none can appear.

While any session holds back PostgreSQL's vacuum, the entries that have left stay in the index. A look that begins at
the start of the index walks over all of them. A look that begins at the mark does not.

A position is taken before its transaction commits, and a lower one may be committed later than a higher one. So the
mark follows in two steps. First the highest position that was seen is noted, with all other transactions that are open
and have written to the outbox: whoever may still commit a lower position is among them, since a writer locks the table
before it takes a position. When all of them have ended, the next look sees what they left, and the mark is raised to
the noted position, or to the lowest entry that this look finds. All of it is kept in the database, so that it is never
ahead of the data: neither after a failover nor after a restore. Positions begin anew where only the tables were copied,
as logical replication does. The mark is dropped then, because new entries would stand below it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

from sqlalchemy import Executable, bindparam, func, literal, select, true
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables import outbox, outbox_mark
from application.ports.outbox import OutboxEntry

_POSITION: Final = func.coalesce(select(outbox_mark.c.position).where(outbox_mark.c.id == 1).scalar_subquery(), 0)
NOT_BELOW: Final[ColumnElement[bool]] = outbox.c.position >= _POSITION

_READ: Final = select(*outbox_mark.c).where(outbox_mark.c.id == 1)
_LOWEST: Final = select(outbox.c.position).where(NOT_BELOW).order_by(outbox.c.position).limit(1)


@cache
def _write(dialect: SqlDialect) -> Executable:
    names = ("position", "noted", "writers")
    return dialect.inserts.upsert(
        outbox_mark,
        {"id": literal(1), **{name: bindparam(f"new_{name}", type_=outbox_mark.c[name].type) for name in names}},
        key=[outbox_mark.c.id],
        changes=lambda new: {name: new[name] for name in names},
        where=lambda _: true(),
    )


async def raise_mark(block: TransactionBlock, seen: Sequence[OutboxEntry]) -> None:
    """Raise the mark as far as it is certain, after a look that saw these entries. Call it now and then.

    Only one transaction at a time may do so: the one that holds the relay's lease.
    """
    if block.dialect.locks.writers is None:
        return
    rows = await block.fetch(_READ)
    position, noted, writers = (rows[0].position, rows[0].noted, rows[0].writers) if rows else (0, 0, "")
    # A statement of its own, after the one that saw the entries and before the one that looks for the lowest.
    parameters = {"table": outbox.name, "column": outbox.c.position.name}
    [now] = await block.fetch(block.dialect.locks.writers, parameters)
    if now.last is not None and now.last < position - 1:
        await block.change(_write(block.dialect), {"new_position": 0, "new_noted": 0, "new_writers": ""})
        return
    at_work: str = now.writers
    if not set(writers.split()).isdisjoint(at_work.split()):
        return
    raised = min([noted, *(row.position for row in await block.fetch(_LOWEST))]) if noted > position else position
    if seen:
        noted, writers = max(entry.position for entry in seen) + 1, at_work
    if not rows or (raised, noted) != (position, rows[0].noted):
        new = {"new_position": raised, "new_noted": noted, "new_writers": writers}
        await block.change(_write(block.dialect), new)
