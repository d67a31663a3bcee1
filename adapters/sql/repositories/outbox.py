from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    FromClause,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from adapters.codecs.events import encode
from adapters.sql.core.bulk import BulkStatement, among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import UtcDateTime
from adapters.sql.tables import leases, outbox
from application.execution.after_commit import Committed
from application.ports.persistence import OutboxEntry
from domain.orders.events import Event, EventId

LEASE: Final = "relay"
LEASE_SECONDS: Final = 5
# A claim that lasts for so long is renewed later: a relay that is busy writes, and waits for the disk, once a second.
_ENOUGH_SECONDS: Final = 4

_COLUMNS: Final = tuple(column for column in outbox.c if column.name != "position")
_INSERT: Final = BulkStatement(
    _COLUMNS, lambda new: insert(outbox).from_select([c.name for c in _COLUMNS], select(new))
)
_PUT_BACK: Final = BulkStatement(
    _COLUMNS, lambda new: insert(outbox).from_select([c.name for c in _COLUMNS], _missing(new))
)
_DELETE: Final = delete(outbox).where(among(outbox.c.position, "positions"))
# Nobody waits for the disk because of this: entries that a crash of the server brings back are sent once more.
_NEED_NOT_LAST: Final = select(func.set_config("synchronous_commit", "off", true())).scalar_subquery() == "off"
_REMOVE: Final = {"postgresql": _DELETE.where(_NEED_NOT_LAST), "sqlite": _DELETE}
_MUST_LAST: Final = text(
    "SELECT set_config(name, reset_val, true) FROM pg_settings WHERE name = 'synchronous_commit' AND setting = 'off'"
)
# The oldest that are there. Never those above the last one that was seen: a lower position may be committed later.
_OLDEST: Final = select(*outbox.c).order_by(outbox.c.position).limit(bindparam("limit"))
_PAGE: Final = _OLDEST.where(outbox.c.position > bindparam("after"))


def _missing(new: FromClause) -> Select[Any]:
    here = exists().where(outbox.c.order_id == new.c.order_id, outbox.c.sequence == new.c.sequence)
    return select(new).where(~here)


class _Now(FunctionElement[Any]):
    """What the clock of the database says, some seconds from now: the clocks of two relays may differ."""

    type = UtcDateTime()
    inherit_cache = True


# Not the moment at which the transaction began, which may have waited for the other relay's.
@compiles(_Now, "postgresql")
def _on_postgresql(element: _Now, compiler: SQLCompiler, **options: Any) -> str:
    return f"clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)})"


@compiles(_Now)
def _on_sqlite(element: _Now, compiler: SQLCompiler, **options: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {compiler.process(element.clauses, **options)} || ' seconds')"


def _take(insert_: Any) -> Any:
    new = insert_(leases).values(name=LEASE, holder=bindparam("by"), until=_Now(literal(LEASE_SECONDS)))
    return new.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={"holder": new.excluded.holder, "until": new.excluded.until},
        where=or_(leases.c.holder == new.excluded.holder, leases.c.until < _Now(literal(0))),
    )


_HELD: Final = exists().where(
    leases.c.name == LEASE, leases.c.holder == bindparam("by"), leases.c.until > _Now(literal(_ENOUGH_SECONDS))
)


def _oldest_if_held() -> Select[Any]:
    """A row that says whether the lease is held, and those of the oldest beside it: a look at nothing is one read."""
    lease, oldest = select(_HELD.label("is_held")).subquery("lease"), _OLDEST.subquery("oldest")
    return select(lease.c.is_held, *oldest.c).select_from(lease.outerjoin(oldest, lease.c.is_held))


_OLDEST_IF_HELD: Final = _oldest_if_held()
_TAKE_LEASE: Final = {"postgresql": _take(postgresql.insert), "sqlite": _take(sqlite.insert)}
_RELEASE_LEASE: Final = delete(leases).where(leases.c.name == LEASE, leases.c.holder == bindparam("by"))


@frozen
class SqlOutbox:
    """One relay at a time is active, so that the events of an order leave in their order, from one batch to the next.

    It holds a lease, not locks on the entries (FOR UPDATE SKIP LOCKED): with those, one relay could publish the second
    event of an order while another still has the first; and they would last as long as the broker takes, with a
    transaction open.
    """

    _block: TransactionBlock
    _committed: Committed

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        rows = await self._block.fetch(_OLDEST_IF_HELD, {"by": by, "limit": limit}, lock=True)
        if not rows[0].is_held:
            rows = await self._block.fetch(_OLDEST, {"limit": limit}) if await self._take_lease(by) else []
        # A join promises no order.
        return sorted((_entry(row) for row in rows if row.position is not None), key=attrgetter("position"))

    async def release(self, *, by: str) -> None:
        await self._block.change(_RELEASE_LEASE, {"by": by})

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            remove = _REMOVE[self._block.dialect.name]
            await self._block.change(remove, {"positions": [entry.position for entry in entries]})

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        await self._insert(_PUT_BACK, events, [encode(event).decode() for event in events])

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [_entry(row) for row in await self._block.fetch(_PAGE, {"after": after or 0, "limit": limit})]

    async def put(self, events: Sequence[Event], bodies: Sequence[str]) -> None:
        """With their bodies, which the caller has encoded for the books as well."""
        await self._insert(_INSERT, events, bodies)

    def announced(self, events: Sequence[Event]) -> None:
        """Whoever waits for events is to hear of these."""
        self._committed.events |= bool(events)

    async def _take_lease(self, by: str) -> bool:
        if self._block.dialect.name == "postgresql":
            await self._block.fetch(_MUST_LAST)
        return bool(await self._block.change(_TAKE_LEASE[self._block.dialect.name], {"by": by}))

    async def _insert(self, statement: BulkStatement, events: Sequence[Event], bodies: Sequence[str]) -> None:
        rows = [(event.order_id, event.sequence, event.type, body) for event, body in zip(events, bodies, strict=True)]
        await self._block.change_many(statement, rows)
        self.announced(events)


def _entry(row: Row[Any]) -> OutboxEntry:
    return OutboxEntry(row.position, EventId(row.order_id, row.sequence), row.type, row.body.encode())
