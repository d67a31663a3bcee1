from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import frozen
from sqlalchemy import (
    FromClause,
    Insert,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from adapters.codecs import details
from adapters.codecs.plain import plain
from adapters.sql.core.bulk import BulkStatement, Written
from adapters.sql.core.counting import count_of
from adapters.sql.core.expressions import FromNow, among
from adapters.sql.core.reading import listed
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import UtcDateTime
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.repositories.customers import customer_in, name_of, number_of
from adapters.sql.repositories.lines import INSERT_LINES, lines_in, lines_of, numbered_lines
from adapters.sql.repositories.order_search import (
    PLACE,
    end_of_stretch,
    parameters_of,
    place_of,
    search,
    search_ids,
)
from adapters.sql.tables.orders import NAMED, NOT_DELETED, UNPAID, WAITING, orders
from application.execution.after_commit import Committed
from application.ports.broken import BrokenOrder, BrokenOrders, broken, sound
from application.ports.order_search import STRETCH, IdsFound, OrderFilter, OrdersFound
from application.ports.persistence import OrderConflict, WaitingPlace
from domain.ids import CustomerId, OrderId, ProductId
from domain.money import Money
from domain.orders.details import OrderDetails
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus


def _value(member: StrEnum | None) -> str | None:
    return member.value if member else None


_IDS_AS_JSON: Final = msgspec.json.Encoder(enc_hook=plain)
_IDS_FROM_JSON: Final = msgspec.json.Decoder(tuple[ProductId, ...])

# What is written into each column; `_order` reads it.
_WRITTEN: Final[Written[Order]] = {
    "id": attrgetter("id"),
    "user_id": lambda order: number_of(order.user_id),
    "status": attrgetter("status.value"),
    "total": attrgetter("total.minor"),
    "currency": attrgetter("total.currency"),
    "failure_reason": lambda order: _value(order.failure_reason),
    "payment_id": attrgetter("payment_id"),
    "holds_stock": attrgetter("holds_stock"),
    "refund_requested": attrgetter("refund_requested"),
    "deleted": attrgetter("deleted"),
    "version": attrgetter("version"),
    "created_at": attrgetter("created_at"),
    "updated_at": attrgetter("updated_at"),
    "out_of_stock": lambda order: _IDS_AS_JSON.encode(order.out_of_stock).decode() if order.out_of_stock else None,
    "user_name": lambda order: name_of(order.user_id),
    "external_id": lambda order: order.details and order.details.external_id,
    "email": lambda order: order.details and email_to_find(order.details),
    "details": lambda order: order.details and details.encode(order.details),
}


def _order(row: Row[Any]) -> Order:
    return Order(
        id=row.id,
        user_id=customer_in(row),
        lines=lines_in(row.lines, row.currency),
        total=Money(row.total, row.currency),
        status=OrderStatus(row.status),
        failure_reason=FailureReason(row.failure_reason) if row.failure_reason else None,
        payment_id=row.payment_id,
        holds_stock=row.holds_stock,
        refund_requested=row.refund_requested,
        deleted=row.deleted,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        # The previous release, which may run beside this one, leaves it as it is when an order is paid for again.
        out_of_stock=_IDS_FROM_JSON.decode(row.out_of_stock) if row.out_of_stock and row.failure_reason else (),
        details=details.decode(row.details) if row.details else None,
    )


def _read(row: Row[Any]) -> Order | BrokenOrder:
    return listed("order", row.id, _order, row, BrokenOrder)


# What was agreed when the order was placed; `save_many` may change everything else.
_AGREED: Final = frozenset({"user_id", "user_name", "external_id", "email", "total", "currency", "created_at"})
_SAVED: Final = {name: get for name, get in _WRITTEN.items() if name not in _AGREED}

# An order comes with its lines in one statement, of one row each.
_ALL: Final = select(*(orders.c[name] for name in _WRITTEN), lines_of(orders.c.id).label("lines"))
_BY_ID: Final = _ALL.where(among(orders.c.id, "ids"))
_BY_ID_LOCKED: Final = _BY_ID.order_by(orders.c.id).with_for_update(key_share=True, of=orders)

_BETWEEN: Final = (
    select(orders.c.id)
    .where(orders.c.id >= bindparam("first"), orders.c.id <= bindparam("last"))
    .order_by(orders.c.id.desc())
    .limit(bindparam("limit"))
)

# As a subquery, which is evaluated once: PostgreSQL looks up no volatile expression in an index.
_NOW: Final = select(FromNow(literal(0))).scalar_subquery()


def _insert(new: FromClause, _: SqlDialect) -> Insert:
    return insert(orders).from_select([*new.c.keys(), "recorded_at"], select(*new.c, _NOW))


_INSERT: Final = BulkStatement(orders, _WRITTEN, _insert)


def _save(new: FromClause, _: SqlDialect) -> Update:
    changes = {name: new.c[name] for name in _SAVED if name != "id"}
    # The version that was read, or nothing: whoever changed the order in between is not overwritten.
    return update(orders).values(changes).where(orders.c.id == new.c.id, orders.c.version == new.c.version - 1)


_SAVE: Final = BulkStatement(orders, _SAVED, _save)


# Where an unpaid order stands in time: its time to pay begins when it is recorded.
_UNPAID_PLACE: Final = (orders.c.recorded_at, orders.c.id)


# What a page may be of, by the name of its parameter.
_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "user_id": and_(orders.c.user_id == bindparam("user_id"), orders.c.user_name.is_(None)),
    "user_name": and_(orders.c.user_id == bindparam("user_id"), orders.c.user_name == bindparam("user_name")),
    "status": orders.c.status == bindparam("status"),
    "before": tuple_(*PLACE) < place_of("before", PLACE),
}


# Made once for each choice: to make it, and to compile it, takes longer than to run it.
@cache
def _page(*parameters: str) -> Select[Any]:
    conditions = [_CONDITIONS[name] for name in parameters]
    newest_first = [column.desc() for column in PLACE]
    return _ALL.where(NOT_DELETED, *conditions).order_by(*newest_first).limit(bindparam("limit"))


@cache
def _count(most: int, *parameters: str) -> Select[Any]:
    """In the order of an index, which is where it stops: nobody reads through the table for a number."""
    found = select(orders.c.id).where(NOT_DELETED, *(_CONDITIONS[name] for name in parameters))
    return count_of(found.order_by(*(column.desc() for column in PLACE)), most)


# How long a page of all orders is at most, in steps. Of a limit that is a parameter PostgreSQL expects a tenth of the
# table. A plan for so much is never worth keeping, and each page would be planned anew, which takes longer than to read
# it. A few steps, since each is a statement of its own.
_STEPS: Final = (16, 64, 256)


@cache
def _page_of_all(step: int, *parameters: str) -> Select[Any]:
    """Not for those of one customer or one status: which index is best depends on whose, and on which.

    A limit of what is in order leaves it in order.
    """
    found = _page(*parameters).limit(literal_column(str(step))).subquery("found")
    return select(found).limit(bindparam("limit"))


_NAMED: Final = select(orders.c.id, orders.c.user_id, orders.c.user_name, orders.c.external_id).where(
    NAMED, among(orders.c.external_id, "external_ids"), among(orders.c.user_id, "user_ids")
)

_IDS: Final = select(orders.c.id).limit(bindparam("limit"))
_MOMENT: Final = bindparam("moment", type_=UtcDateTime())
# What a page of unpaid orders may leave out, by the name of its parameter.
_LEFT_OUT: Final[dict[str, ColumnElement[bool]]] = {
    "recorded_after": orders.c.recorded_at > bindparam("recorded_after", type_=UtcDateTime()),
    "after": tuple_(*_UNPAID_PLACE) > place_of("after", _UNPAID_PLACE),
}


@cache
def _unpaid(*parameters: str) -> Select[Any]:
    unpaid = _IDS.where(UNPAID, orders.c.recorded_at <= _MOMENT, _MOMENT <= _NOW).order_by(*_UNPAID_PLACE)
    return unpaid.where(*(_LEFT_OUT[name] for name in parameters))


_REDATE: Final = update(orders).values(recorded_at=_NOW).where(UNPAID, orders.c.recorded_at > _NOW)


@cache
def _waiting(*parameters: str) -> Select[Any]:
    """From one stretch of the index for each condition: those without a step for long, and those from the future."""
    at = orders.c.updated_at
    place = (at, orders.c.id)
    after = tuple_(*(bindparam(f"after_{column.name}", type_=column.type) for column in place))
    later = [tuple_(*place) > after] if "after" in parameters else []
    since = [at >= bindparam("since", type_=at.type)] if "since" in parameters else []

    def stretch(*conditions: ColumnElement[bool]) -> Select[Any]:
        found = select(*place).where(WAITING, *conditions, *later).order_by(*place).limit(bindparam("limit"))
        return select(*found.subquery().c)

    stretches = stretch(at <= _MOMENT, *since), stretch(at > bindparam("ahead", type_=at.type))
    found = union_all(*stretches).subquery("waiting")
    return select(*found.c).order_by(found.c.updated_at, found.c.id).limit(bindparam("limit"))


def email_to_find(details: OrderDetails) -> str | None:
    """Return the address in the form in which it is searched for: nobody tells two addresses apart by their case."""
    return details.email and details.email.lower()


def _whose(user_id: CustomerId | None) -> dict[str, int | str | None]:
    return {} if user_id is None else {"user_id": number_of(user_id), "user_name": name_of(user_id)}


def _conditions_in(given: Mapping[str, Any]) -> Collection[str]:
    # The condition on a name has the number in it.
    return given.keys() - ({"user_id"} if "user_name" in given else set())


@frozen
class SqlOrders:
    _block: TransactionBlock
    _committed: Committed

    async def add_many(self, orders: Sequence[Order]) -> None:
        await self._block.change_many(_INSERT, orders)
        await self._block.change_many(INSERT_LINES, numbered_lines(orders))
        self._committed.orders += orders

    async def get_many(self, ids: Collection[OrderId], *, lock: bool = False) -> dict[OrderId, Order]:
        if not ids:
            return {}
        statement = _BY_ID_LOCKED if lock else _BY_ID
        rows = await self._block.fetch(statement, {"ids": list(ids)}, lock=lock)
        read = [_read(row) for row in rows]
        found = {order.id: order for order in sound(read)}
        if len(found) < len(read):
            raise BrokenOrders({order.id: order for order in broken(read, BrokenOrder)}, found)
        if lock:
            self._committed.see(found.values())
        return found

    async def save_many(self, orders: Sequence[Order]) -> None:
        if await self._block.change_many(_SAVE, orders) < len(orders):
            raise OrderConflict("an order changed since it was read")
        self._committed.orders += orders

    async def page(
        self, *, user_id: CustomerId | None, status: OrderStatus | None, before: OrderId | None, limit: int
    ) -> list[Order | BrokenOrder]:
        asked = {**_whose(user_id), "status": status.value if status else None, "before": before}
        given = {name: value for name, value in asked.items() if value is not None}
        conditions = _conditions_in(given)
        step = next((step for step in _STEPS if step >= limit), None)
        is_of_all = user_id is None and status is None
        statement = _page(*sorted(conditions)) if step is None or not is_of_all else _page_of_all(step, *conditions)
        rows = await self._block.fetch(statement, {**given, "limit": limit})
        return [_read(row) for row in rows]

    async def count(self, *, user_id: CustomerId | None, status: OrderStatus | None = None, most: int) -> int:
        asked = {**_whose(user_id), "status": status.value if status else None}
        given = {name: value for name, value in asked.items() if value is not None}
        [row] = await self._block.fetch(_count(most, *sorted(_conditions_in(given))), given)
        return int(row[0])

    async def search(
        self, wanted: OrderFilter, *, before: OrderId | None, limit: int, stretch: int = STRETCH
    ) -> OrdersFound:
        given = await self._stretch_of(wanted, before, stretch)
        statement = search(wanted.leading, frozenset(given), tuple(_WRITTEN), stretch)
        found = await self._block.fetch(statement, {**given, "limit": limit})
        orders = [_read(row) for row in found]
        return OrdersFound(orders, None if len(orders) == limit else given.get("end"))

    async def search_ids(
        self, wanted: OrderFilter, *, before: OrderId | None, limit: int, stretch: int = STRETCH
    ) -> IdsFound:
        given = await self._stretch_of(wanted, before, stretch)
        statement = search_ids(wanted.leading, frozenset(given), stretch)
        ids = [row.id for row in await self._block.fetch(statement, {**given, "limit": limit})]
        return IdsFound(ids, None if len(ids) == limit else given.get("end"))

    async def _stretch_of(self, wanted: OrderFilter, before: OrderId | None, stretch: int) -> dict[str, Any]:
        """Return the parameters of a search, with the order at which its stretch ends, if there are more."""
        given = parameters_of(wanted)
        if wanted.leading == "statuses":
            given["status"] = given["statuses"][0]
        if before is not None:
            given["before"] = before
        rows = await self._block.fetch(end_of_stretch(wanted.leading, frozenset(given), stretch), given)
        if rows:
            given["end"] = rows[0].id
        return given

    async def ids_between(self, first: OrderId, last: OrderId, *, limit: int) -> list[OrderId]:
        rows = await self._block.fetch(_BETWEEN, {"first": first, "last": last, "limit": limit})
        return [row.id for row in rows]

    async def with_external_ids(
        self, wanted: Collection[tuple[CustomerId, str]]
    ) -> dict[tuple[CustomerId, str], OrderId]:
        if not wanted:
            return {}
        numbers = {number_of(customer) for customer, _ in wanted}
        names = {external_id for _, external_id in wanted}
        rows = await self._block.fetch(_NAMED, {"external_ids": list(names), "user_ids": list(numbers)})
        found = {(customer_in(row), row.external_id): row.id for row in rows}
        return {name: found[name] for name in wanted if name in found}

    async def unpaid_since(
        self, moment: datetime, *, recorded_after: datetime | None = None, after: OrderId | None, limit: int
    ) -> list[OrderId]:
        left_out = {"recorded_after": recorded_after, "after": after}
        given = {name: value for name, value in left_out.items() if value is not None}
        rows = await self._block.fetch(_unpaid(*given), {**given, "moment": moment, "limit": limit})
        return [row.id for row in rows]

    async def redate_unpaid(self) -> None:
        await self._block.change(_REDATE)

    async def waiting_since(
        self,
        moment: datetime,
        *,
        since: datetime | None = None,
        ahead: datetime,
        after: WaitingPlace | None,
        limit: int,
    ) -> list[WaitingPlace]:
        left_out = {"since": since, "after": after}
        given: dict[str, Any] = {name: value for name, value in left_out.items() if value is not None}
        statement = _waiting(*given)
        if after is not None:
            del given["after"]
            given["after_updated_at"], given["after_id"] = after
        rows = await self._block.fetch(statement, {**given, "moment": moment, "ahead": ahead, "limit": limit})
        return [(row.updated_at, row.id) for row in rows]
