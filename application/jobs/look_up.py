from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.principal import Principal
from application.errors import Trouble
from application.execution.counting import MOST_COUNTED
from application.intake.unrecorded import Unrecorded
from application.jobs.kinds import PLACE_ORDER
from application.ports.broken import BrokenJob
from application.ports.jobs import JobPlace
from application.ports.persistence import Transaction, UnitOfWork
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, JobStatus, UnknownJob
from domain.orders.order import Order


def unknown_job(id_: JobId) -> UnknownJob:
    return UnknownJob(f"there is no job {id_}: it never was, or it ended long ago and was removed")


@frozen
class GetJob:
    """Read one job. A customer sees those about its own orders. Raise `UnknownJob`.

    An order that was answered with 202 is a job as well, under the id of the order: AVAILABLE until it is recorded. It
    costs no row: it is read off the order. So is a change that was accepted and has no row yet.
    """

    _unit_of_work: UnitOfWork
    _unrecorded: Unrecorded
    # Find a change that was accepted, as the job that it will be.
    _find_accepted: Callable[[JobId], Awaitable[Job | None]]

    async def __call__(self, by: Principal, id_: JobId) -> Job:
        change = await self._find_accepted(id_)
        try:
            job, order = await self._recorded(id_, change)
        except Trouble:
            # What is accepted while the database is away can be followed.
            job, order = await self._accepted(id_, change)
            if job is None:
                raise
        if job is None:
            job, order = await self._accepted(id_, change)
        elif order is None and job.order_id is not None:
            order = await self._unrecorded.get(job.order_id)
        if job is None or (by.user_id is not None and (order is None or order.user_id != by.user_id)):
            raise unknown_job(id_)
        return job

    async def _recorded(self, id_: JobId, change: Job | None) -> tuple[Job | None, Order | None]:
        """Return the job and the order that it is about."""
        async with self._unit_of_work.reading() as tx:
            job = (await tx.jobs.get_many({id_})).get(id_, change)
            order = await _order_of(tx, OrderId(id_) if job is None else job.order_id)
        return (_recorded(order) if job is None and order is not None else job), order

    async def _accepted(self, id_: JobId, change: Job | None) -> tuple[Job | None, Order | None]:
        order_id = None if change is None else change.order_id
        order = await self._unrecorded.get(order_id or OrderId(id_))
        return (None if order is None else change or _accepted(order)), order


@frozen
class ListJobs:
    """A page of jobs, newest first."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _: Principal, *, kind: str | None, status: JobStatus | None, before: JobPlace | None, limit: int
    ) -> Sequence[Job | BrokenJob]:
        async with self._unit_of_work.reading() as tx:
            return await tx.jobs.page(kind=kind, status=status, before=before, limit=limit)


@frozen
class CountJobs:
    """How many jobs a list has, up to `MOST_COUNTED`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, *, kind: str | None, status: JobStatus | None) -> int:
        async with self._unit_of_work.reading() as tx:
            return await tx.jobs.count(kind=kind, status=status, most=MOST_COUNTED)


async def _order_of(tx: Transaction, id_: OrderId | None) -> Order | None:
    return None if id_ is None else (await tx.orders.get_many({id_})).get(id_)


def _accepted(order: Order) -> Job:
    return Job(
        id=JobId(order.id),
        kind=PLACE_ORDER,
        order_id=order.id,
        status=JobStatus.AVAILABLE,
        available_at=order.created_at,
        created_at=order.created_at,
    )


def _recorded(order: Order) -> Job:
    return Job(
        id=JobId(order.id),
        kind=PLACE_ORDER,
        order_id=order.id,
        status=JobStatus.COMPLETED,
        attempts=1,
        available_at=order.created_at,
        created_at=order.created_at,
        finished_at=order.created_at,
    )
