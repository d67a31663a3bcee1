"""The low-water mark of a queue, as of the outbox: no entry below it is there, and none can appear.

While any session holds back PostgreSQL's vacuum, the entries that have left stay in the index. A look that begins at
the start of the index walks over all of them. A look that begins at the mark does not.

A position is taken before its transaction commits, and a lower one may be committed later than a higher one. So the
mark follows in two steps. First the highest position that was seen is noted, with all other transactions that are open
and have written to the queue: whoever may still commit a lower position is among them, since a writer locks the table
before it takes a position. When all of them have ended, the next look sees what they left, and the mark is raised to
the noted position, or to the lowest entry that this look finds. All of it is kept in the database, so that it is never
ahead of the data: neither after a failover nor after a restore. Positions begin anew where only the tables were copied,
as logical replication does. The mark is dropped then, because new entries would stand below it.
"""

from collections.abc import Collection
from functools import cache
from typing import Final

from sqlalchemy import Column, Executable, Table, bindparam, func, literal, select, true
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect


class LowWaterMark:
    """The mark of one queue. `positions` is the column of its positions, and `marks` has one row, the mark."""

    def __init__(self, positions: Column[int], marks: Table) -> None:
        self._positions, self._marks = positions, marks
        here = marks.c.id == 1
        position = func.coalesce(select(marks.c.position).where(here).scalar_subquery(), 0)
        self.not_below: Final[ColumnElement[bool]] = positions >= position
        self._read = select(*marks.c).where(here)
        self._lowest = select(positions.label("position")).where(self.not_below).order_by(positions).limit(1)

    async def rise(self, block: TransactionBlock, seen: Collection[int]) -> None:
        """Raise the mark as far as it is certain, after a look that saw these positions. Call it now and then.

        Only one transaction at a time may do so: the one that holds the lease for this queue.
        """
        if block.dialect.locks.writers is None:
            return
        write = _write(self._marks, block.dialect)
        rows = await block.fetch(self._read)
        position, noted, writers = (rows[0].position, rows[0].noted, rows[0].writers) if rows else (0, 0, "")
        # A statement of its own, after the one that saw the entries and before the one that looks for the lowest.
        parameters = {"table": self._positions.table.name, "column": self._positions.name}
        [now] = await block.fetch(block.dialect.locks.writers, parameters)
        if now.last is not None and now.last < position - 1:
            await block.change(write, {"new_position": 0, "new_noted": 0, "new_writers": ""})
            return
        at_work: str = now.writers
        if not set(writers.split()).isdisjoint(at_work.split()):
            return
        raised = position
        if noted > position:
            raised = min([noted, *(row.position for row in await block.fetch(self._lowest))])
        if seen:
            noted, writers = max(seen) + 1, at_work
        if not rows or (raised, noted) != (position, rows[0].noted):
            await block.change(write, {"new_position": raised, "new_noted": noted, "new_writers": writers})


@cache
def _write(marks: Table, dialect: SqlDialect) -> Executable:
    names = ("position", "noted", "writers")
    return dialect.inserts.upsert(
        marks,
        {"id": literal(1), **{name: bindparam(f"new_{name}", type_=marks.c[name].type) for name in names}},
        key=[marks.c.id],
        changes=lambda new: {name: new[name] for name in names},
        where=lambda _: true(),
    )
