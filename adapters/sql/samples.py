"""What a scrape would have to ask the database for: looked at now and then by the relay, and counted up to a bound."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.counting import count_of
from adapters.sql.core.expressions import FromNow
from adapters.sql.repositories.outbox import MARK
from adapters.sql.repositories.relay_lease import LEASE
from adapters.sql.tables.dead_letters import UNDECIDED, dead_letters
from adapters.sql.tables.events import order_events, outbox, waiting_work
from adapters.sql.tables.feed import feed, feed_head
from adapters.sql.tables.shop import consistency_checks, leases
from adapters.sql.tables.webhooks import webhook_endpoints, webhook_progress
from domain.webhooks.endpoint import DISABLED_BY_SHOP, Signature

_MOST_PENDING: Final = 10_000
_MOST_WAITING: Final = 1_000

_PENDING: Final = count_of(select(outbox.c.position).where(MARK.not_below), _MOST_PENDING)
# In the order of its positions: of its indexes, this is the one whose rows stand together.
_PUT_OFF: Final = count_of(select(waiting_work.c.position).order_by(waiting_work.c.position), _MOST_PENDING)
_first: Final = (
    select(outbox.c.order_id, outbox.c.sequence)
    .where(MARK.not_below)
    .order_by(outbox.c.position)
    .limit(1)
    .subquery("first")
)
_OLDEST: Final = select(order_events.c.at, FromNow(literal(0)).label("now")).join(
    _first, (order_events.c.order_id == _first.c.order_id) & (order_events.c.sequence == _first.c.sequence)
)
_POSITION: Final = select(feed_head.c.given)
_slowest: Final = (
    select(func.min(webhook_progress.c.position).label("position"))
    .join(webhook_endpoints, webhook_endpoints.c.id == webhook_progress.c.endpoint_id)
    .where(webhook_endpoints.c.disabled.is_(None), webhook_endpoints.c.deleted_at.is_(None))
    .scalar_subquery()
)
_BEHIND: Final = (
    select(feed.c.given_at, FromNow(literal(0)).label("now"))
    .where(feed.c.position > _slowest)
    .order_by(feed.c.position)
    .limit(1)
)
_SIGNED_BY_SHOP: Final = count_of(
    select(webhook_endpoints.c.id).where(
        webhook_endpoints.c.signature == Signature.V1A.value,
        webhook_endpoints.c.disabled.is_(None),
        webhook_endpoints.c.deleted_at.is_(None),
    ),
    _MOST_WAITING,
)
_DISABLED: Final = count_of(
    select(webhook_endpoints.c.id).where(
        webhook_endpoints.c.disabled.in_([each.value for each in DISABLED_BY_SHOP]),
        webhook_endpoints.c.deleted_at.is_(None),
    ),
    _MOST_WAITING,
)
_LETTERS: Final = count_of(select(dead_letters.c.id).where(UNDECIDED), _MOST_WAITING)
_LEADS: Final = select(leases.c.name).where(LEASE.is_held())
_CHECKED: Final = select(*consistency_checks.c)


@frozen(kw_only=True)
class Sample:
    """How much waits. Numbers that grow without end are counted up to 10,000 or 1,000."""

    outbox_pending: int
    outbox_oldest_age: float
    feed_position: int
    dead_letters: int
    leads: bool
    # In seconds: the age of the oldest event that an enabled endpoint has not got to.
    webhook_lag: float = 0.0
    # Enabled endpoints that ask for a signature by the shop's own key.
    signed_by_shop: int = 0
    # Endpoints that the shop has disabled by itself.
    webhooks_disabled: int = 0
    # What the last consistency check has found, by kind, and when one last saw everything. Nothing: there was none yet.
    discrepancies: Mapping[str, int] = field(factory=dict)
    compared_at: datetime | None = None


@frozen
class SqlSamples:
    """Raise `Unavailable`."""

    _engine: AsyncEngine

    async def take(self, *, relay: str) -> Sample:
        async with connected(self._engine, reading=True) as connection:

            async def number(statement: Any) -> int:
                return int((await connection.execute(statement)).scalar() or 0)

            oldest = (await connection.execute(_OLDEST)).first()
            behind = (await connection.execute(_BEHIND)).first()
            checked = (await connection.execute(_CHECKED)).all()
            return Sample(
                outbox_pending=await number(_PENDING) + await number(_PUT_OFF),
                # The clock of the process that wrote it may be ahead.
                outbox_oldest_age=max(0.0, (oldest.now - oldest.at).total_seconds()) if oldest else 0.0,
                feed_position=await number(_POSITION),
                dead_letters=await number(_LETTERS),
                webhook_lag=max(0.0, (behind.now - behind.given_at).total_seconds()) if behind else 0.0,
                signed_by_shop=await number(_SIGNED_BY_SHOP),
                webhooks_disabled=await number(_DISABLED),
                leads=(await connection.execute(_LEADS, {"by": relay})).first() is not None,
                discrepancies={row.kind: row.found for row in checked},
                compared_at=max((row.compared_at for row in checked if row.compared_at), default=None),
            )
