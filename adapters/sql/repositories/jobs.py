from collections.abc import Collection, Sequence
from datetime import datetime
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
    TextClause,
    Update,
    bindparam,
    delete,
    literal,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from adapters.codecs.plain import plain
from adapters.sql.core.bulk import BulkStatement, Written, insert_missing, written_whole
from adapters.sql.core.counting import count_of
from adapters.sql.core.expressions import FromNow, among
from adapters.sql.core.reading import checked, listed
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import UtcDateTime
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.jobs import JOB_CHANGES, JOB_FINISHED, JOB_LEASED, JOB_SCHEDULED, JOB_WAITING, jobs
from application.errors import BrokenRow
from application.ports.broken import BrokenJob
from application.ports.jobs import DueJobs, JobPlace
from domain.ids import JobId, OrderId
from domain.jobs.job import LEASE, LONGEST_DELAY, Job, JobStatus
from domain.moments import furthest

_JSON: Final = msgspec.json.Encoder(enc_hook=plain)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])

# What is written into each column; `_job` reads it.
_WRITTEN: Final[Written[Job]] = {
    **{name: attrgetter(name) for name in ("id", "kind", "order_id", "attempts", "failures", "error", "done", "total")},
    "arguments": lambda job: _JSON.encode(job.arguments).decode(),
    "status": attrgetter("status.value"),
    "result": lambda job: None if job.result is None else _JSON.encode(job.result).decode(),
    **{name: attrgetter(name) for name in ("available_at", "leased_until", "created_at", "started_at", "finished_at")},
}
# What never changes.
_GIVEN: Final = frozenset({"kind", "arguments", "order_id", "created_at"})
_SAVED: Final[Written[Job]] = {name: get for name, get in _WRITTEN.items() if name not in _GIVEN}


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        arguments=_OBJECT.decode(row.arguments),
        order_id=row.order_id,
        status=JobStatus(row.status),
        attempts=row.attempts,
        failures=row.failures,
        error=row.error,
        done=row.done,
        total=row.total,
        result=None if row.result is None else _OBJECT.decode(row.result),
        available_at=row.available_at,
        leased_until=row.leased_until,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _insert(new: FromClause, _: SqlDialect) -> Insert:
    return insert_missing(jobs, new, key=("id",))


def _save(new: FromClause, _: SqlDialect) -> Update:
    return update(jobs).values({name: new.c[name] for name in _SAVED if name != "id"}).where(jobs.c.id == new.c.id)


_INSERT: Final = BulkStatement(jobs, written_whole(jobs, _WRITTEN), _insert)
_SAVE: Final = BulkStatement(jobs, _SAVED, _save)
_NOW: Final = select(FromNow(literal(0)).label("now"))
_ALL: Final = select(*jobs.c)
_BY_ID: Final = _ALL.where(among(jobs.c.id, "ids"))
_BY_ID_LOCKED: Final = _BY_ID.order_by(jobs.c.id).with_for_update()
_CHANGES: Final = _ALL.where(JOB_CHANGES, among(jobs.c.order_id, "order_ids")).order_by(jobs.c.created_at, jobs.c.id)
# SQLite has one writer, which need not lock.
_FREE: Final = _BY_ID.order_by(jobs.c.available_at, jobs.c.id).with_for_update(skip_locked=True)

_MOMENT: Final = bindparam("moment", type_=UtcDateTime())
# Jobs that can't be read have taken the places of others, which another look finds. So many looks are one transaction.
_LOOKS_PAST_BROKEN: Final = 8


@cache
def _due(*, since: bool, of_kinds: bool) -> Select[Any]:
    """The ids, and since when, from a stretch of an index for each condition: what waits, and whose worker is gone."""

    def stretch(of: TextClause, time: ColumnElement[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
        found = (
            select(jobs.c.id, time.label("due_since"))
            .where(of, *conditions, *kinds)
            .order_by(time)
            .limit(bindparam("limit"))
        )
        return select(*found.subquery().c)

    at, until = jobs.c.available_at, jobs.c.leased_until
    kinds = [among(jobs.c.kind, "kinds")] if of_kinds else []
    left = bindparam("since", type_=UtcDateTime())
    past = [at <= _MOMENT, *([at >= left] if since else [])]
    over = [until <= _MOMENT, *([until >= left] if since else [])]
    stretches = union_all(
        stretch(JOB_WAITING, at, *past),
        stretch(JOB_SCHEDULED, at, *past),
        stretch(JOB_WAITING, at, at > bindparam("void_delay", type_=UtcDateTime())),
        stretch(JOB_LEASED, until, *over),
        stretch(JOB_LEASED, until, until > bindparam("void_lease", type_=UtcDateTime())),
    ).subquery("due")
    return select(*stretches.c)


_PLACE: Final = (jobs.c.created_at, jobs.c.id)
_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "kind": jobs.c.kind == bindparam("kind"),
    "status": jobs.c.status == bindparam("status"),
    "before": tuple_(*_PLACE)
    < tuple_(bindparam("before", type_=UtcDateTime()), bindparam("before_id", type_=jobs.c.id.type)),
}


@cache
def _page(*parameters: str) -> Select[Any]:
    newest_first = [column.desc() for column in _PLACE]
    return _ALL.where(*(_CONDITIONS[name] for name in parameters)).order_by(*newest_first).limit(bindparam("limit"))


@cache
def _count(most: int, *parameters: str) -> Select[Any]:
    found = select(jobs.c.id).where(*(_CONDITIONS[name] for name in parameters))
    return count_of(found.order_by(*(column.desc() for column in _PLACE)), most)


_LONG_FINISHED: Final = (JOB_FINISHED, jobs.c.finished_at < _MOMENT)
_FINISHED: Final = select(jobs.c.id).where(*_LONG_FINISHED).order_by(jobs.c.finished_at).limit(bindparam("limit"))
# A job that was found may have been retried since: the condition is checked again under its lock.
_DELETE: Final = delete(jobs).where(among(jobs.c.id, "ids"), *_LONG_FINISHED)

_SET_ASIDE: Final = (
    update(jobs)
    .where(jobs.c.id == bindparam("id"))
    .values(
        status=JobStatus.DISCARDED.value,
        error=bindparam("error"),
        arguments=bindparam("arguments"),
        finished_at=_MOMENT,
        # What may be broken as well.
        result=None,
        total=None,
        leased_until=None,
        **dict.fromkeys(("attempts", "failures", "done"), 0),
    )
)


def _listed(row: Row[Any]) -> Job | BrokenJob:
    return listed("job", row.id, _job, row, lambda id_, why: BrokenJob(id_, why, created_at=row.created_at))


@frozen
class SqlJobs:
    _block: TransactionBlock

    async def now(self) -> datetime:
        [row] = await self._block.fetch(_NOW)
        now: datetime = row.now
        return now

    async def add_many(self, jobs: Sequence[Job]) -> None:
        await self._block.change_many(_INSERT, jobs)

    async def due(
        self, moment: datetime, *, since: datetime | None, kinds: Collection[str] | None = None, limit: int
    ) -> DueJobs:
        given: dict[str, Any] = {"moment": moment, "limit": limit}
        given |= {"void_delay": furthest(moment, LONGEST_DELAY), "void_lease": furthest(moment, LEASE)}
        given |= {} if since is None else {"since": since}
        given |= {} if kinds is None else {"kinds": list(kinds)}
        statement = _due(since=since is not None, of_kinds=kinds is not None)
        rows: Sequence[Row[Any]] = []
        found: list[Job] = []
        for _ in range(_LOOKS_PAST_BROKEN):
            rows = await self._block.fetch(statement, given)
            found, all_are_sound = await self._free(list(dict.fromkeys(row.id for row in rows)), moment)
            if all_are_sound:
                break
        # A row is read anew when it is locked. Another worker may have taken the job meanwhile.
        due = [job for job in found if job.is_due(moment)][:limit]
        # A stretch that gave `limit` rows may have more. What was found and not got may be due still.
        is_all = len(rows) < limit and {row.id for row in rows} == {job.id for job in due}
        return DueJobs(due, moment if is_all else min([moment, *(row.due_since for row in rows)]))

    async def _free(self, ids: Sequence[JobId], moment: datetime) -> tuple[list[Job], bool]:
        """Lock and return the jobs that no other worker has, and whether none of them had to be set aside."""
        rows = await self._block.fetch(_FREE, {"ids": ids}, lock=True) if ids else []
        found = []
        for row in rows:
            try:
                found.append(checked("job", row.id, _job, row))
            except BrokenRow as error:
                await self._set_aside(row, error, moment)
        return found, len(found) == len(rows)

    async def _set_aside(self, row: Row[Any], error: BrokenRow, moment: datetime) -> None:
        """Discard a job that can't be read: it would keep all others from being done. Its arguments stay, as text."""
        arguments = _JSON.encode({"unreadable": str(row.arguments)}).decode()
        given = {"id": row.id, "error": str(error), "arguments": arguments, "moment": moment}
        await self._block.change(_SET_ASIDE, given)

    async def get_many(self, ids: Collection[JobId], *, lock: bool = False) -> dict[JobId, Job]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID_LOCKED if lock else _BY_ID, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("job", row.id, _job, row) for row in rows}

    async def save_many(self, jobs: Sequence[Job]) -> None:
        await self._block.change_many(_SAVE, jobs)

    async def changes_of(self, order_ids: Collection[OrderId]) -> list[Job]:
        if not order_ids:
            return []
        rows = await self._block.fetch(_CHANGES, {"order_ids": list(order_ids)})
        return [checked("job", row.id, _job, row) for row in rows]

    async def page(
        self, *, kind: str | None, status: JobStatus | None, before: JobPlace | None, limit: int
    ) -> list[Job | BrokenJob]:
        asked = {"kind": kind, "status": status.value if status else None, "before": before}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        statement = _page(*given)
        if before is not None:
            given["before"], given["before_id"] = before
        rows = await self._block.fetch(statement, {**given, "limit": limit})
        return [_listed(row) for row in rows]

    async def count(self, *, kind: str | None, status: JobStatus | None, most: int) -> int:
        asked = {"kind": kind, "status": status.value if status else None}
        given = {name: value for name, value in asked.items() if value is not None}
        [row] = await self._block.fetch(_count(most, *given), given)
        return int(row[0])

    async def remove_finished(self, moment: datetime, *, limit: int) -> int:
        rows = await self._block.fetch(_FINISHED, {"moment": moment, "limit": limit})
        return await self._block.change(_DELETE, {"ids": [row.id for row in rows], "moment": moment}) if rows else 0
