from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    union_all,
    update,
)

from adapters.codecs.webhook_log import attempts_in, lines_of
from adapters.sql.core.bulk import BulkStatement, Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import UtcDateTime
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.webhooks import DELIVERY_OPEN, NOT_DELIVERED, webhook_deliveries
from application.ports.webhook_store import AttemptsMade, DeliveryFilter
from application.ports.webhooks import Attempt
from domain.ids import EndpointId, OrderId
from domain.moments import furthest
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, Undelivered
from domain.webhooks.schedule import LONGEST_PAUSE

_D: Final = webhook_deliveries.c
# A delivery, and the lines about its new attempts.
_Kept = tuple[Delivery, str]

_GIVEN: Final = ("order_id", "sequence", "type", "at")
_CHANGING: Final = ("tries", "attempts", "outcome", "next_at", "slow_from", "finished_at")


def _of(name: str) -> Any:
    get = attrgetter(name)
    return lambda kept: get(kept[0])


# What is written into each column; `_delivery` reads it.
_WRITTEN: Final[Written[_Kept]] = {
    "endpoint_id": _of("id.endpoint_id"),
    "position": _of("id.position"),
    **{name: _of(name) for name in (*_GIVEN, *_CHANGING)},
    "status": _of("status.value"),
    "reason": lambda kept: kept[0].reason and kept[0].reason.value,
    "log": itemgetter(1),
}
_SAVED: Final[Written[_Kept]] = {name: get for name, get in _WRITTEN.items() if name not in _GIVEN}


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=DeliveryId(row.endpoint_id, row.position),
        order_id=row.order_id,
        sequence=row.sequence,
        type=row.type,
        at=row.at,
        status=DeliveryStatus(row.status),
        reason=None if row.reason is None else Undelivered(row.reason),
        tries=row.tries,
        attempts=row.attempts,
        outcome=row.outcome,
        next_at=row.next_at,
        slow_from=row.slow_from,
        finished_at=row.finished_at,
    )


def _save(new: FromClause, _: SqlDialect) -> Update:
    values = {name: new.c[name] for name in _SAVED if name not in {"endpoint_id", "position", "log"}}
    return (
        update(webhook_deliveries)
        .values({**values, "log": _D.log + new.c.log})
        .where(_D.endpoint_id == new.c.endpoint_id, _D.position == new.c.position)
    )


_INSERT: Final = bulk_insert(webhook_deliveries, _WRITTEN)
_SAVE: Final = BulkStatement(webhook_deliveries, _SAVED, _save)
# All but what came of each attempt: that may be much, and few look at it.
_ALL: Final = select(*(column for column in _D if column.name != "log"))


def _parameter(column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=column.type)


_OF_ENDPOINT: Final = _D.endpoint_id == _parameter(_D.endpoint_id, "endpoint_id")
_AT: Final = _ALL.where(_OF_ENDPOINT, among(_D.position, "positions"))
_AT_LOCKED: Final = _AT.order_by(_D.position).with_for_update()
_LOG: Final = select(_D.log).where(_OF_ENDPOINT, _D.position == bindparam("position"))
_MOMENT: Final = bindparam("moment", type_=UtcDateTime())
_SINCE: Final = _D.next_at >= bindparam("since", type_=UtcDateTime())


def _due(*, since: bool) -> Select[Any]:
    """One stretch of the index for those whose time has come, and one for those whose time no clock can have set."""

    def stretch(condition: ColumnElement[bool]) -> Select[Any]:
        found = _ALL.where(_OF_ENDPOINT, DELIVERY_OPEN, condition).order_by(_D.next_at).limit(bindparam("limit"))
        return select(*found.subquery().c)

    void = bindparam("void", type_=UtcDateTime())
    past = and_(_D.next_at <= _MOMENT, _SINCE) if since else _D.next_at <= _MOMENT
    return select(*union_all(stretch(past), stretch(_D.next_at > void)).subquery("due").c)


_DUE: Final = _due(since=False)
_DUE_SINCE: Final = _due(since=True)
_NEXT_DUE: Final = select(_D.next_at).where(_OF_ENDPOINT, DELIVERY_OPEN).order_by(_D.next_at).limit(1)
_NEXT_DUE_SINCE: Final = _NEXT_DUE.where(_SINCE)
_ANY_MISSING: Final = select(_D.position).where(_OF_ENDPOINT, NOT_DELIVERED).limit(1)
_MISSING_OF_ORDERS: Final = _ALL.where(_OF_ENDPOINT, NOT_DELIVERED, among(_D.order_id, "order_ids")).order_by(
    _D.position
)
_SKIP_OPEN: Final = (
    update(webhook_deliveries)
    .values(
        status=DeliveryStatus.SKIPPED.value,
        reason=bindparam("why"),
        next_at=None,
        finished_at=bindparam("ended", type_=UtcDateTime()),
    )
    .where(_OF_ENDPOINT, DELIVERY_OPEN)
)
_OF_ORDER: Final = (
    _ALL.where(_D.order_id == _parameter(_D.order_id, "order_id"))
    .order_by(_D.endpoint_id, _D.position)
    .limit(bindparam("limit"))
)
_KEY: Final = (_D.endpoint_id, _D.position)
_CONDITIONS: Final[Mapping[str, ColumnElement[bool]]] = {
    "endpoint_id": _OF_ENDPOINT,
    "status": _D.status == bindparam("status"),
    "type": _D.type == bindparam("type"),
    "order_id": _D.order_id == _parameter(_D.order_id, "order_id"),
    "reason": _D.reason == bindparam("reason"),
    "before": tuple_(*_KEY) < tuple_(_parameter(_D.endpoint_id, "before_endpoint"), bindparam("before_position")),
}


@cache
def _page(*names: str, undelivered: bool) -> Select[Any]:
    """One statement for each kind of filter, so that each has a plan of its own."""
    conditions = [_CONDITIONS[name] for name in names]
    found = _ALL.where(*conditions, NOT_DELIVERED) if undelivered else _ALL.where(*conditions)
    return found.order_by(*(column.desc() for column in _KEY)).limit(bindparam("limit"))


_STRETCH: Final = and_(_OF_ENDPOINT, _D.position > bindparam("after"), _D.position <= bindparam("until"))
_COUNT: Final = select(func.count().label("number")).select_from(webhook_deliveries).where(_STRETCH)
_COUNT_MISSING: Final = _COUNT.where(NOT_DELIVERED)
_FIRST: Final = (
    select(_D.position, _D.finished_at)
    .where(_OF_ENDPOINT, _D.position > bindparam("after"))
    .order_by(_D.position)
    .limit(bindparam("limit"))
)
_REMOVE: Final = delete(webhook_deliveries).where(_OF_ENDPOINT, _D.position <= bindparam("last"))


@frozen
class SqlWebhookDeliveries:
    _block: TransactionBlock

    async def add_many(self, deliveries: Sequence[Delivery], attempts: AttemptsMade) -> None:
        await self._block.change_many(_INSERT, _with_lines(deliveries, attempts))

    async def save_many(self, deliveries: Sequence[Delivery], attempts: AttemptsMade) -> None:
        await self._block.change_many(_SAVE, _with_lines(deliveries, attempts))

    async def get_many(
        self, endpoint_id: EndpointId, positions: Collection[int], *, lock: bool = False
    ) -> dict[int, Delivery]:
        if not positions:
            return {}
        given = {"endpoint_id": endpoint_id, "positions": list(positions)}
        rows = await self._block.fetch(_AT_LOCKED if lock else _AT, given, lock=lock)
        return {row.position: _read(row) for row in rows}

    async def due(
        self, endpoint_id: EndpointId, moment: datetime, *, since: datetime | None = None, limit: int
    ) -> list[Delivery]:
        given: dict[str, Any] = {"endpoint_id": endpoint_id, "moment": moment, "limit": limit}
        given |= {"void": furthest(moment, LONGEST_PAUSE)} | ({} if since is None else {"since": since})
        rows = await self._block.fetch(_DUE if since is None else _DUE_SINCE, given)
        found = [_read(row) for row in rows]
        return sorted(found, key=lambda each: (each.next_at or moment, each.id.position))[:limit]

    async def skip_open(self, endpoint_id: EndpointId, why: Undelivered, *, at: datetime) -> None:
        await self._block.change(_SKIP_OPEN, {"endpoint_id": endpoint_id, "why": why.value, "ended": at})

    async def standing(self, endpoint_id: EndpointId, *, since: datetime | None = None) -> tuple[datetime | None, bool]:
        if since is not None:
            rows = await self._block.fetch(_NEXT_DUE_SINCE, {"endpoint_id": endpoint_id, "since": since})
            return (rows[0].next_at if rows else None), True
        due = await self._block.fetch(_NEXT_DUE, {"endpoint_id": endpoint_id})
        if due:
            return due[0].next_at, True
        return None, bool(await self._block.fetch(_ANY_MISSING, {"endpoint_id": endpoint_id}))

    async def undelivered(self, endpoint_id: EndpointId, order_ids: Collection[OrderId]) -> list[Delivery]:
        if not order_ids:
            return []
        given = {"endpoint_id": endpoint_id, "order_ids": list(order_ids)}
        return [_read(row) for row in await self._block.fetch(_MISSING_OF_ORDERS, given)]

    async def attempts(self, id_: DeliveryId) -> list[Attempt]:
        rows = await self._block.fetch(_LOG, {"endpoint_id": id_.endpoint_id, "position": id_.position})
        return [attempt for row in rows for attempt in attempts_in(row.log)]

    async def of_order(self, order_id: OrderId, *, limit: int) -> list[Delivery]:
        return [_read(row) for row in await self._block.fetch(_OF_ORDER, {"order_id": order_id, "limit": limit})]

    async def page(self, only: DeliveryFilter, *, before: DeliveryId | None, limit: int) -> list[Delivery]:
        asked = {
            "endpoint_id": only.endpoint_id,
            "status": only.status and only.status.value,
            "type": only.type,
            "order_id": only.order_id,
            "reason": only.reason and only.reason.value,
            "before": before,
        }
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        # Those that have not arrived have an index of their own.
        missing = only.undelivered or only.status not in {None, DeliveryStatus.DELIVERED}
        statement = _page(*given, undelivered=missing)
        if before is not None:
            del given["before"]
            given["before_endpoint"], given["before_position"] = before
        return [_read(row) for row in await self._block.fetch(statement, {**given, "limit": limit})]

    async def count(self, endpoint_id: EndpointId, *, after: int, until: int, delivered: bool | None = None) -> int:
        given = {"endpoint_id": endpoint_id, "after": after, "until": until}
        missing = 0 if delivered is None else (await self._block.fetch(_COUNT_MISSING, given))[0].number
        if delivered is False:
            return int(missing)
        return int((await self._block.fetch(_COUNT, given))[0].number - missing)

    async def remove(self, endpoint_id: EndpointId, moment: datetime, *, after: int, limit: int) -> tuple[int, int]:
        removed, last = 0, 0
        for row in await self._block.fetch(_FIRST, {"endpoint_id": endpoint_id, "after": after, "limit": limit}):
            if row.finished_at is None or row.finished_at >= moment:
                break
            removed, last = removed + 1, row.position
        if removed:
            await self._block.change(_REMOVE, {"endpoint_id": endpoint_id, "last": last})
        return removed, last


def _with_lines(deliveries: Sequence[Delivery], attempts: AttemptsMade) -> list[_Kept]:
    return [(delivery, lines_of(attempts.get(delivery.id, ()))) for delivery in deliveries]


def _read(row: Row[Any]) -> Delivery:
    return checked("webhook delivery", DeliveryId(row.endpoint_id, row.position), _delivery, row)
