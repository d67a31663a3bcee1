import zlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from attrs import evolve, frozen
from sqlalchemy import Float, bindparam, cast, delete, exists, insert, literal, select, update

from adapters.codecs.plain import plain
from adapters.sql.core.expressions import FromNow, among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.jobs import file_parts, files, jobs
from application.errors import Aborted
from application.ports.files import LONGEST_PART, StoredFile
from domain.ids import JobId

_JSON: Final = msgspec.json.Encoder(enc_hook=plain)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
# The fastest: rows of one kind become an eighth with it, and little less with any other.
_LEVEL: Final = 1

_THIS: Final = (files.c.job_id == bindparam("job_id"), files.c.name == bindparam("name"))
_GET: Final = select(files.c.size, files.c.state).where(*_THIS)
_GET_MANY: Final = select(files.c.job_id, files.c.size, files.c.state).where(
    among(files.c.job_id, "job_ids"), files.c.name == bindparam("name")
)
_SIZE, _STATE = (bindparam(name, type_=files.c[name].type) for name in ("size", "state"))
_NEW: Final = insert(files).from_select(
    ["job_id", "name", "size", "state", "changed_at"],
    select(
        bindparam("job_id", type_=files.c.job_id.type),
        bindparam("name", type_=files.c.name.type),
        _SIZE,
        _STATE,
        FromNow(literal(0)),
    ).where(~exists().where(*_THIS)),
)
# The size that was read, or nothing: of two writers, one goes on.
_GROW: Final = (
    update(files)
    .where(*_THIS, files.c.size == bindparam("before"))
    .values(size=_SIZE, state=_STATE, changed_at=FromNow(literal(0)))
)
# Of one row: SQLite takes many as JSON, which has no bytes.
_ADD: Final = insert(file_parts).values(
    {name: bindparam(name, type_=column.type) for name, column in file_parts.c.items()}
)

_READ: Final = (
    select(file_parts.c.start, file_parts.c.body)
    .where(
        file_parts.c.job_id == bindparam("job_id"),
        file_parts.c.name == bindparam("name"),
        file_parts.c.start <= bindparam("at"),
    )
    .order_by(file_parts.c.start.desc())
    .limit(1)
)

# Not EXISTS: PostgreSQL would read all jobs for it.
_IN_USE: Final = (
    select(jobs.c.id).where(jobs.c.id == files.c.job_id, jobs.c.finished_at.is_(None)).limit(1).scalar_subquery()
)
_OLD: Final = (
    select(files.c.job_id, files.c.name)
    .where(
        files.c.changed_at < FromNow(-cast(bindparam("seconds"), Float)),
        _IN_USE.is_(None),
    )
    .order_by(files.c.changed_at)
    .limit(bindparam("limit"))
)
_REMOVE: Final = delete(files).where(*_THIS)
_REMOVE_PARTS: Final = delete(file_parts).where(
    file_parts.c.job_id == bindparam("job_id"), file_parts.c.name == bindparam("name")
)


@frozen
class SqlFiles:
    """A file is stored in parts, so that any stretch of it is one look-up and little memory."""

    _block: TransactionBlock

    async def get(self, job_id: JobId, name: str) -> StoredFile | None:
        for row in await self._block.fetch(_GET, {"job_id": job_id, "name": name}):
            return StoredFile(job_id=job_id, name=name, size=row.size, state=_OBJECT.decode(row.state))
        return None

    async def get_many(self, job_ids: Collection[JobId], name: str) -> dict[JobId, StoredFile]:
        if not job_ids:
            return {}
        rows = await self._block.fetch(_GET_MANY, {"job_ids": list(job_ids), "name": name})
        return {
            row.job_id: StoredFile(job_id=row.job_id, name=name, size=row.size, state=_OBJECT.decode(row.state))
            for row in rows
        }

    async def append(self, file: StoredFile, content: bytes, state: Mapping[str, Any]) -> StoredFile:
        grown = evolve(file, size=file.size + len(content), state=dict(state))
        this = {"job_id": file.job_id, "name": file.name, "size": grown.size, "state": _JSON.encode(state).decode()}
        changed = await self._block.change(_GROW, {**this, "before": file.size})
        if not changed and not file.size:
            changed = await self._block.change(_NEW, this)
        if not changed:
            raise Aborted("another writer has changed the file meanwhile")
        for start in range(0, len(content), LONGEST_PART):
            piece = content[start : start + LONGEST_PART]
            body = zlib.compress(piece, _LEVEL)
            part = {"start": file.size + start, "length": len(piece), "body": body}
            await self._block.change(_ADD, {"job_id": file.job_id, "name": file.name, **part})
        return grown

    async def read(self, job_id: JobId, name: str, *, at: int) -> bytes:
        for row in await self._block.fetch(_READ, {"job_id": job_id, "name": name, "at": at}):
            return zlib.decompress(row.body)[at - row.start :]
        return b""

    async def remove(self, job_id: JobId, name: str) -> None:
        # First the file itself: whoever writes it waits for its row, and then finds it gone.
        await self._block.change(_REMOVE, {"job_id": job_id, "name": name})
        await self._block.change(_REMOVE_PARTS, {"job_id": job_id, "name": name})

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        old = await self._block.fetch(_OLD, {"seconds": older_than.total_seconds(), "limit": limit})
        for row in old:
            await self.remove(row.job_id, row.name)
        return len(old)
