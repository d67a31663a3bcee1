"""Bulk operations as a person starts, follows and stops them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, field, frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.access.scopes import Scope
from application.errors import Aborted
from application.execution.idempotency import Keyed, KeyReused
from application.jobs.add_job import StartedJob
from application.jobs.kinds import BULK
from application.operations.bulk import (
    CHOSEN,
    ITEMS,
    BulkRequest,
    BulkState,
    Confirmation,
    Measured,
    UnknownBulkOperation,
    looks_of,
    measure,
    needs_of,
)
from application.operations.results import AWAITED, OPEN, ItemResult, noted
from application.ports.audit import AuditEntry
from application.ports.broken import UNREADABLE, BrokenJob, apart, of_arguments
from application.ports.environment import Clock, NewId
from application.ports.files import StoredFile
from application.ports.jobs import JobPlace, place_of
from application.ports.persistence import Transaction, UnitOfWork
from domain.ids import JobId
from domain.jobs.job import Job, JobStatus, new_job


@frozen
class BulkOperation:
    """An operation, and how far it is. `items` is the file with a line for each item; None if it was removed."""

    job: Job
    request: BulkRequest
    items: StoredFile | None

    @property
    def count(self) -> int:
        return int(self.job.arguments["count"])

    @property
    def by(self) -> str:
        return str(self.job.arguments["by"]["key_id"])

    @property
    def outcomes(self) -> Mapping[str, int]:
        told = self.job.result or ({} if self.items is None else self.items.state)
        return dict(told.get("outcomes", {}))

    @property
    def in_flight(self) -> int:
        """How many were replayed, and have no outcome yet."""
        return 0 if self.items is None else len(BulkState.of(self.items.state).in_flight)

    @property
    def stopped(self) -> str:
        told = self.job.result or ({} if self.items is None else self.items.state)
        return str(told.get("stopped", ""))


@frozen
class MeasureBulk:
    """Count what an operation would be about, and do nothing.

    Raise `InvalidDecision`, or `Forbidden` without the scopes of the act.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, by: Principal, wanted: BulkRequest) -> Measured:
        _expect(by, needs_of(wanted.arguments()))
        async with self._unit_of_work.reading() as tx:
            return await measure(tx, wanted.only)


@frozen
class StartBulk:
    """Start an operation on what is there now: what comes later is not part of it.

    For more than 100 items, `shown` must have their count and their digest. What it has must be right, for fewer items,
    too. Under a key, the same request is one operation, whatever is there when it is sent again, until the
    operation is removed. The key is the shop's, as its operations are: a client may have got another API key meanwhile.

    Raise `CountNotConfirmed`, `FilterTooWide`, `InvalidDecision`, `KeyReused`, or `Forbidden` without the scopes of the
    act.
    """

    _unit_of_work: UnitOfWork
    _new_id: NewId
    _now: Clock

    async def __call__(
        self, by: Principal, call: BulkRequest | Keyed[BulkRequest], *, shown: Confirmation | None = None
    ) -> StartedJob:
        wanted = call.call if isinstance(call, Keyed) else call
        _expect(by, needs_of(wanted.arguments()))
        wanted.expect_valid()
        try:
            return await self._start(by, call, wanted, shown)
        except Aborted:
            if not isinstance(call, Keyed):
                raise
            # Most likely the same request, sent twice at once, was faster: its operation is there now.
            return await self._start(by, call, wanted, shown)

    async def _start(
        self, by: Principal, call: BulkRequest | Keyed[BulkRequest], wanted: BulkRequest, shown: Confirmation | None
    ) -> StartedJob:
        id_ = JobId(call.key.order_id if isinstance(call, Keyed) else self._new_id())
        async with self._unit_of_work.reading() as tx:
            if (started := await _started(tx, id_, wanted)) is not None:
                return StartedJob(started, replayed=True)
            found = await measure(tx, wanted.only)
        found.expect(shown or Confirmation())
        caller = caller_of(by)
        noted = {**wanted.arguments(), "count": found.count}
        job = new_job(
            id=id_,
            kind=BULK,
            arguments=noted | {"by": {"key_id": caller.key_id, "request_id": caller.request_id}},
            now=self._now(),
        )
        async with self._unit_of_work() as tx:
            # The files of an earlier operation under the key may have outlived its job. They are looked for before the
            # job is: if the same request, sent twice at once, has put them there since, its job is found.
            left = [name for name in (CHOSEN, ITEMS) if await tx.files.get(job.id, name) is not None]
            if (started := await _started(tx, id_, wanted)) is not None:
                return StartedJob(started, replayed=True)
            for name in left:
                await tx.files.remove(job.id, name)
            await tx.jobs.add_many([job])
            # Of two transactions that have both got here, one is aborted.
            await tx.files.append(StoredFile(job_id=job.id, name=CHOSEN), json.dumps(found.ids).encode(), {})
            await tx.audit.add_many([_entry(by, "started", job, self._now(), noted, wanted.reason)])
        return StartedJob(job)


async def _started(tx: Transaction, id_: JobId, wanted: BulkRequest) -> Job | None:
    """Return the operation that an earlier request under the same key has started. Raise `KeyReused`."""
    job = (await tx.jobs.get_many({id_})).get(id_)
    if job is not None and (job.kind != BULK or BulkRequest.of(job.arguments) != wanted):
        raise KeyReused
    return job


@frozen
class BulkFound:
    """Some operations, newest first. The list goes on after `looked_to`, if there are others."""

    operations: Sequence[BulkOperation]
    looked_to: JobPlace | None
    broken: Sequence[BrokenJob] = ()


@frozen
class ListBulk:
    """A page of the operations that the caller may look at, newest first.

    It looks at a bounded number of operations, so it may have fewer than `limit`, or none, while there are more.
    """

    _unit_of_work: UnitOfWork
    _stretch: int = field(default=250, kw_only=True)

    async def __call__(self, by: Principal, *, before: JobPlace | None = None, limit: int) -> BulkFound:
        async with self._unit_of_work.reading() as tx:
            jobs = await tx.jobs.page(kind=BULK, status=None, before=before, limit=self._stretch)
            visible = [each for job in jobs if _may_look(by, each := _readable(job))]
            shown, broken = apart(visible[:limit], BrokenJob)
            items = await tx.files.get_many([job.id for job in shown], ITEMS)
        operations = [BulkOperation(job, BulkRequest.of(job.arguments), items.get(job.id)) for job in shown]
        if len(visible) > limit:
            return BulkFound(operations, place_of(visible[limit - 1]), broken)
        return BulkFound(operations, place_of(jobs[-1]) if len(jobs) == self._stretch else None, broken)


def _readable(job: Job | BrokenJob) -> Job | BrokenJob:
    """Return the job, or a `BrokenJob` if its arguments can't be read."""
    if isinstance(job, BrokenJob):
        return job
    try:
        operation = BulkOperation(job, BulkRequest.of(job.arguments), None)
        _ = operation.count, operation.by, looks_of(job.arguments)
    except UNREADABLE as error:
        return of_arguments(job, error)
    return job


def _may_look(by: Principal, job: Job | BrokenJob) -> bool:
    """One that can't be read is shown to those who may do anything."""
    return by.scopes.issuperset(looks_of({} if isinstance(job, BrokenJob) else job.arguments))


@frozen
class GetBulk:
    """Raise `UnknownBulkOperation`, or `Forbidden` without the scope to look at one with this act."""

    _unit_of_work: UnitOfWork

    async def __call__(self, by: Principal, id_: JobId) -> BulkOperation:
        async with self._unit_of_work.reading() as tx:
            return await _operation(tx, _existing(by, (await tx.jobs.get_many({id_})).get(id_), id_))


@frozen
class StopBulk:
    """Take no further item. What is done stays done, and nobody waits for what was replayed just before.

    One that was stopped before stays as it is.

    Raise `UnknownBulkOperation`, `Forbidden` as `GetBulk`, or `IllegalTransition` for one that has ended.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, id_: JobId) -> BulkOperation:
        async with self._unit_of_work() as tx:
            job = _existing(by, (await tx.jobs.get_many({id_}, lock=True)).get(id_), id_)
            if job.status is not JobStatus.CANCELLED:
                job.cancel(at=await tx.jobs.now())
                await tx.jobs.save_many([job])
                await tx.audit.add_many([_entry(by, "stopped", job, self._now(), {}, "")])
                await _tell_in_flight(tx, job)
            return await _operation(tx, job)


async def _tell_in_flight(tx: Transaction, job: Job) -> None:
    file = await tx.files.get(job.id, ITEMS)
    if file is not None and (state := BulkState.of(file.state)).in_flight:
        why = f"{AWAITED[job.arguments['act']]}, and the operation was stopped before anything came of it"
        results = [ItemResult(id_, OPEN, why) for id_ in state.in_flight]
        await noted(tx, file, results, evolve(state, in_flight=()))


@frozen
class ReadItems:
    """Read some bytes of the results from one place on. None are left at their end, or if they are gone.

    Raise `Forbidden` as `GetBulk`.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, by: Principal, operation: BulkOperation, *, at: int) -> bytes:
        _expect(by, looks_of(operation.job.arguments))
        async with self._unit_of_work.reading() as tx:
            return await tx.files.read(operation.job.id, ITEMS, at=at)


def _expect(by: Principal, scopes: Sequence[Scope]) -> None:
    for scope in scopes:
        by.expect(scope)


def _existing(by: Principal, job: Job | None, id_: JobId) -> Job:
    if job is None or job.kind != BULK:
        raise UnknownBulkOperation(f"there is no bulk operation {id_}: it never was, or it was removed after its end")
    _expect(by, looks_of(job.arguments))
    return job


async def _operation(tx: Transaction, job: Job) -> BulkOperation:
    return BulkOperation(job, BulkRequest.of(job.arguments), await tx.files.get(job.id, ITEMS))


def _entry(  # noqa: PLR0913, PLR0917 - the parts of an entry
    by: Principal, what: str, job: Job, at: datetime, after: Mapping[str, Any], reason: str
) -> AuditEntry:
    return AuditEntry(
        at=at,
        by=caller_of(by),
        action=f"bulk_operation.{what}",
        subject=f"bulk operation {job.id}",
        after=after,
        reason=reason,
    )
