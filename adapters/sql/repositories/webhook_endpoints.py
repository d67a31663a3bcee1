from collections.abc import Collection, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import frozen
from sqlalchemy import ColumnElement, FromClause, Row, Select, Update, and_, bindparam, func, or_, select, update

from adapters.codecs.plain import plain
from adapters.codecs.webhook_log import encoded_secrets, secrets_in
from adapters.sql.core.bulk import BulkStatement, Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked, listed
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import UtcDateTime
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.webhooks import webhook_endpoints, webhook_progress
from application.ports.broken import BrokenEndpoint
from domain.ids import EndpointId
from domain.moments import furthest
from domain.webhooks.endpoint import Disabled, Endpoint, Ordering, Payload, Signature
from domain.webhooks.progress import FAILURES_TO_SUSPECT, LEASE, LONGEST_PACE, Progress
from domain.webhooks.schedule import LONGEST_PAUSE, LONGEST_REST

_JSON: Final = msgspec.json.Encoder(enc_hook=plain)
_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_HEADERS: Final = msgspec.json.Decoder(dict[str, str])

# What is written into each column; `_endpoint` reads it.
_WRITTEN: Final[Written[Endpoint]] = {
    **{
        name: attrgetter(name)
        for name in (
            *("id", "url", "description", "rate_per_s", "max_concurrency", "version"),
            *("disabled_at", "deleted_at", "created_at"),
        )
    },
    "events": lambda endpoint: _JSON.encode(endpoint.events).decode(),
    "payload": attrgetter("payload.value"),
    "ordering": attrgetter("ordering.value"),
    "signature": attrgetter("signature.value"),
    "headers": lambda endpoint: _JSON.encode(dict(endpoint.headers)).decode(),
    "secrets": lambda endpoint: encoded_secrets(endpoint.secrets),
    "disabled": lambda endpoint: endpoint.disabled and endpoint.disabled.value,
}
_SAVED: Final[Written[Endpoint]] = {name: get for name, get in _WRITTEN.items() if name != "created_at"}


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        url=row.url,
        description=row.description,
        events=_TEXTS.decode(row.events),
        payload=Payload(row.payload),
        ordering=Ordering(row.ordering),
        headers=_HEADERS.decode(row.headers),
        rate_per_s=row.rate_per_s,
        max_concurrency=row.max_concurrency,
        secrets=secrets_in(row.secrets),
        version=row.version,
        disabled=None if row.disabled is None else Disabled(row.disabled),
        disabled_at=row.disabled_at,
        deleted_at=row.deleted_at,
        created_at=row.created_at,
        signature=Signature(row.signature),
    )


def _save_endpoints(new: FromClause, _: SqlDialect) -> Update:
    values = {name: new.c[name] for name in _SAVED if name != "id"}
    return update(webhook_endpoints).values(values).where(webhook_endpoints.c.id == new.c.id)


_INSERT: Final = bulk_insert(webhook_endpoints, _WRITTEN)
_SAVE: Final = BulkStatement(webhook_endpoints, _SAVED, _save_endpoints)
_ALL: Final = select(*webhook_endpoints.c)
_BY_ID: Final = _ALL.where(among(webhook_endpoints.c.id, "ids"))
_BY_ID_LOCKED: Final = _BY_ID.order_by(webhook_endpoints.c.id).with_for_update()
_FIRST: Final = (
    _ALL.where(webhook_endpoints.c.deleted_at.is_(None)).order_by(webhook_endpoints.c.id).limit(bindparam("limit"))
)
_COUNT: Final = select(func.count()).select_from(webhook_endpoints).where(webhook_endpoints.c.deleted_at.is_(None))
# Any number that no other lock has; this is "webhooks" in ASCII.
_COUNTING: Final = {"id": int.from_bytes(b"webhooks", "big")}
_PAGE: Final = _FIRST.where(webhook_endpoints.c.id > bindparam("after", type_=webhook_endpoints.c.id.type))

_PROGRESS: Final[Written[Progress]] = {name: attrgetter(name) for name in webhook_progress.c.keys()}  # noqa: SIM118 - not a dict


def _progress(row: Row[Any]) -> Progress:
    return Progress(
        endpoint_id=row.endpoint_id,
        began_after=row.began_after,
        position=row.position,
        skip_to=row.skip_to,
        filtered=row.filtered,
        lost=row.lost,
        removed=row.removed,
        removed_to=row.removed_to,
        chosen_after=row.chosen_after,
        chosen_by=row.chosen_by,
        due_at=row.due_at,
        rests_until=row.rests_until,
        failures=row.failures,
        rests=row.rests,
        failing_since=row.failing_since,
        paced_until=row.paced_until,
        ready_at=row.ready_at,
        is_troubled=row.is_troubled,
        served_at=row.served_at,
        served_by=row.served_by,
        leased_until=row.leased_until,
    )


def _save_progress(new: FromClause, _: SqlDialect) -> Update:
    values = {name: new.c[name] for name in _PROGRESS if name not in {"endpoint_id", "began_after"}}
    return update(webhook_progress).values(values).where(webhook_progress.c.endpoint_id == new.c.endpoint_id)


_INSERT_PROGRESS: Final = bulk_insert(webhook_progress, _PROGRESS)
_SAVE_PROGRESS: Final = BulkStatement(webhook_progress, _PROGRESS, _save_progress)
_P: Final = webhook_progress.c
_ALL_PROGRESS: Final = select(*_P)
_PROGRESS_OF: Final = _ALL_PROGRESS.where(among(_P.endpoint_id, "ids"))
_PROGRESS_OF_LOCKED: Final = _PROGRESS_OF.order_by(_P.endpoint_id).with_for_update()
_IDS: Final = select(_P.endpoint_id).order_by(_P.endpoint_id).limit(bindparam("limit"))
_IDS_AFTER: Final = _IDS.where(_P.endpoint_id > bindparam("after", type_=_P.endpoint_id.type))
_RELEASE: Final = (
    update(webhook_progress)
    .values(leased_until=None)
    .where(_P.served_by == bindparam("by"), _P.leased_until.isnot(None))
)


def _moment(name: str) -> ColumnElement[datetime]:
    return bindparam(name, type_=UtcDateTime())


def _is_past(column: ColumnElement[Any], void: str) -> ColumnElement[bool]:
    """As `is_past` of the domain: a moment that is further away than any can be is void."""
    return or_(column <= _moment("moment"), column > _moment(void))


def _waiting(*, suspect: bool) -> Select[Any]:
    failures: ColumnElement[int] = bindparam("failures")
    return (
        select(*_P)
        .join(webhook_endpoints, webhook_endpoints.c.id == _P.endpoint_id)
        .where(
            webhook_endpoints.c.disabled.is_(None),
            webhook_endpoints.c.deleted_at.is_(None),
            _P.failures >= failures if suspect else _P.failures < failures,
            or_(_P.leased_until.is_(None), _is_past(_P.leased_until, "void_lease")),
            or_(_P.rests_until.is_(None), _is_past(_P.rests_until, "void_rest")),
            or_(_P.ready_at.is_(None), _is_past(_P.ready_at, "void_pace")),
            or_(
                _P.position < bindparam("newest"),
                and_(_P.due_at.isnot(None), _is_past(_P.due_at, "void_pause")),
            ),
        )
        .order_by(_P.served_at.asc().nulls_first(), _P.endpoint_id)
        .limit(bindparam("limit"))
    )


_WAITING: Final = {suspect: _waiting(suspect=suspect) for suspect in (False, True)}
# SQLite has one writer, which need not lock.
_WAITING_LOCKED: Final = {
    suspect: statement.with_for_update(of=webhook_progress, skip_locked=True) for suspect, statement in _WAITING.items()
}


def _listed(row: Row[Any]) -> Endpoint | BrokenEndpoint:
    return listed("webhook endpoint", row.id, _endpoint, row, BrokenEndpoint)


@frozen
class SqlWebhookEndpoints:
    _block: TransactionBlock

    async def add_many(self, endpoints: Sequence[Endpoint]) -> None:
        await self._block.change_many(_INSERT, endpoints)

    async def get_many(self, ids: Collection[EndpointId], *, lock: bool = False) -> dict[EndpointId, Endpoint]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID_LOCKED if lock else _BY_ID, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("webhook endpoint", row.id, _endpoint, row) for row in rows}

    async def save_many(self, endpoints: Sequence[Endpoint]) -> None:
        await self._block.change_many(_SAVE, endpoints)

    async def page(self, *, after: EndpointId | None, limit: int) -> list[Endpoint | BrokenEndpoint]:
        given = {"limit": limit} if after is None else {"limit": limit, "after": after}
        rows = await self._block.fetch(_FIRST if after is None else _PAGE, given)
        return [_listed(row) for row in rows]

    async def count(self) -> int:
        if (wait := self._block.dialect.locks.wait_for) is not None:
            await self._block.fetch(wait, _COUNTING, lock=True)
        [row] = await self._block.fetch(_COUNT, lock=True)
        return int(row[0])


@frozen
class SqlWebhookProgress:
    _block: TransactionBlock

    async def add_many(self, progress: Sequence[Progress]) -> None:
        await self._block.change_many(_INSERT_PROGRESS, progress)

    async def get_many(self, ids: Collection[EndpointId], *, lock: bool = False) -> dict[EndpointId, Progress]:
        if not ids:
            return {}
        rows = await self._block.fetch(_PROGRESS_OF_LOCKED if lock else _PROGRESS_OF, {"ids": list(ids)}, lock=lock)
        return {row.endpoint_id: _read(row) for row in rows}

    async def save_many(self, progress: Sequence[Progress]) -> None:
        await self._block.change_many(_SAVE_PROGRESS, progress)

    async def ids(self, *, after: EndpointId | None, limit: int) -> list[EndpointId]:
        given = {"limit": limit} if after is None else {"limit": limit, "after": after}
        rows = await self._block.fetch(_IDS if after is None else _IDS_AFTER, given)
        return [row.endpoint_id for row in rows]

    async def waiting(
        self, moment: datetime, *, newest: int, suspect: bool, limit: int, lock: bool = False
    ) -> list[Progress]:
        given = {
            "moment": moment,
            "newest": newest,
            "limit": limit,
            "failures": FAILURES_TO_SUSPECT,
            "void_lease": furthest(moment, LEASE),
            "void_rest": furthest(moment, LONGEST_REST),
            "void_pace": furthest(moment, LONGEST_PACE),
            "void_pause": furthest(moment, LONGEST_PAUSE),
        }
        statement = (_WAITING_LOCKED if lock else _WAITING)[suspect]
        found = [_read(row) for row in await self._block.fetch(statement, given, lock=lock)]
        # A row is read anew when it is locked. Another sender may have taken it meanwhile.
        return [progress for progress in found if progress.is_waiting(moment, newest=newest)]

    async def release(self, *, by: str) -> None:
        await self._block.change(_RELEASE, {"by": by})


def _read(row: Row[Any]) -> Progress:
    return checked("progress of webhook endpoint", row.endpoint_id, _progress, row)
