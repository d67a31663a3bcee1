"""Changes of orders that are not recorded yet. They wait as jobs, and are made in sequence once the order is there."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from attrs import evolve, frozen

from application.errors import NotDone
from application.execution.conditional import OrderCall, request_id_in
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.unrecorded import NotYetRecorded, Unrecorded
from application.jobs.kinds import CHANGE_ORDER, Progress
from application.orders.change_jobs import (
    ChangeQueued,
    arguments_of,
    call_of,
    earlier_than,
    is_the_same,
    job_id_of,
    order_call_of,
    order_id_of,
    order_waited_for,
    waits_for,
    without_later,
)
from application.ports.caching import AcceptedChanges
from application.ports.environment import Clock, NewId
from application.ports.persistence import Transaction, UnitOfWork
from domain.errors import DomainError, UnknownOrder
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, JobStatus, new_job
from domain.orders.events import OrderChangeRefused
from domain.orders.order import Order

C = TypeVar("C", bound=OrderCall | Keyed[OrderCall])
R = TypeVar("R")

# The attempts of about a day, after which the order is not waited for any more. No clock decides that.
_MOST_ATTEMPTS: Final = 300
# Looks at an earlier change that is about to end, and the seconds between two.
_LOOKS, _PAUSE = 50, 0.1
# Characters of an event.
_LONGEST_REASON: Final = 2000


class EarlierChangeWaits(NotDone):
    """Another change of the order was accepted before this one, and is not made yet."""


@frozen
class QueueChanges(Generic[C, R]):
    """Wraps a use case that changes orders, where orders may be queued: a change of one that is not recorded waits.

    So does a change of an order for which another one waits, so that they are made in the sequence in which they were
    accepted. A change with a condition never waits: it is about a version that the order does not have yet.
    """

    _name: str
    _change: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]
    _unit_of_work: UnitOfWork
    _unrecorded: Unrecorded
    _accepted: AcceptedChanges
    _new_id: NewId

    async def __call__(self, calls: Sequence[C]) -> Sequence[R | ChangeQueued | Exception]:
        ids = set(map(order_id_of, calls))
        on_the_way = await self._on_the_way(ids)
        async with self._unit_of_work.reading() as tx:
            busy = {job.order_id for job in await tx.jobs.changes_of(ids)} | on_the_way.keys()
        at_once = [at for at, call in enumerate(calls) if order_id_of(call) not in busy]
        outcomes: dict[int, R | ChangeQueued | Exception] = {}
        if at_once:
            told = await self._change([calls[at] for at in at_once])
            outcomes = dict(zip(at_once, told, strict=True))
        to_wait = [at for at in range(len(calls)) if at not in outcomes or isinstance(outcomes[at], NotYetRecorded)]
        if to_wait:
            queued = await self._queue([calls[at] for at in to_wait], on_the_way)
            outcomes |= dict(zip(to_wait, queued, strict=True))
        return [outcomes[at] for at in range(len(calls))]

    async def _on_the_way(self, ids: Collection[OrderId]) -> dict[OrderId, list[JobId]]:
        """Return the changes that were accepted while the database was away, and have no job yet."""
        accepted = await self._accepted.of_orders(ids)
        if not accepted:
            return {}
        async with self._unit_of_work.reading() as tx:
            recorded = await tx.jobs.get_many({id_ for each in accepted.values() for id_ in each})
        await self._accepted.forget({order_id: recorded.keys() & each for order_id, each in accepted.items()})
        left = {order_id: [id_ for id_ in each if id_ not in recorded] for order_id, each in accepted.items()}
        return {order_id: each for order_id, each in left.items() if each}

    async def _queue(
        self, calls: Sequence[C], on_the_way: Mapping[OrderId, Sequence[JobId]]
    ) -> list[ChangeQueued | Exception]:
        ids = set(map(order_id_of, calls))
        accepted = await self._unrecorded.get_many(ids)
        outcomes: list[ChangeQueued | Exception] = []
        async with self._unit_of_work() as tx:
            orders = accepted | await tx.orders.get_many(ids)
            before = await tx.jobs.changes_of(ids)
            now = await tx.jobs.now()
            for call in calls:
                found, id_ = orders.get(order_id_of(call)), job_id_of(call, self._new_id)
                coming = on_the_way.get(order_id_of(call), ())
                jobs = [job for job in before if job.order_id == order_id_of(call)]
                queued = {each.job.id for each in outcomes if isinstance(each, ChangeQueued) and each.order is found}
                waiting = queued.union((job.id for job in jobs), coming)
                order = order_waited_for(call, found, id_, waiting)
                if isinstance(order, Exception):
                    outcomes.append(order)
                    continue
                asked = arguments_of(self._name, call)
                unrecorded = earlier_than(id_, coming)
                after = waits_for([*(job.id for job in without_later(jobs, id_)), *unrecorded], unrecorded=unrecorded)
                job = new_job(id=id_, kind=CHANGE_ORDER, arguments=asked | after, order_id=order.id, now=now)
                outcomes.append(ChangeQueued(order, job, replayed=id_ in waiting))
            await tx.jobs.add_many([each.job for each in outcomes if isinstance(each, ChangeQueued)])
            kept = await tx.jobs.get_many({each.job.id for each in outcomes if isinstance(each, ChangeQueued)})
        return [_as_kept(each, kept) if isinstance(each, ChangeQueued) else each for each in outcomes]


def _as_kept(queued: ChangeQueued, kept: Mapping[JobId, Job]) -> ChangeQueued | KeyReused:
    """Return the change with its job, which may be that of an earlier request under the same key."""
    job = kept[queued.job.id]
    if not is_the_same(job, queued.job):
        return KeyReused()
    return evolve(queued, job=job)


@frozen
class MakeChange:
    """The handler of the job: make the change as if it had been asked for now, by the caller who did.

    What the rules refuse ends the job with their refusal, of which the order's history tells as well. An order that is
    not recorded yet is waited for.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    # By the names of the changes.
    _changes: Mapping[str, Callable[[Sequence[Any]], Awaitable[Sequence[object]]]]

    async def __call__(self, job: Job, _: Progress, /) -> Mapping[str, Any] | None:
        order_id = await self._turn(job)
        async with self._unit_of_work() as tx:
            # The next one waits in its attempt until this one has ended.
            await wake(tx, {order_id}, but=job.id)
        [outcome] = await self._changes[job.arguments["change"]]([call_of(order_id, job)])
        outcome = outcome.answer if isinstance(outcome, Replayed) else outcome
        if isinstance(outcome, DomainError):
            await self._tell(job, order_id, outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return {"version": outcome.version, "status": outcome.status.value} if isinstance(outcome, Order) else None

    async def _tell(self, job: Job, order_id: OrderId, refusal: DomainError) -> None:
        async with self._unit_of_work() as tx:
            order = (await tx.orders.get_many({order_id}, lock=True)).get(order_id)
            if order is None or order.deleted:
                return
            history = await tx.events.of_orders({order_id})
            # The job is run again if its worker dies before its end is recorded.
            if any(isinstance(event, OrderChangeRefused) and event.job_id == job.id for event in history):
                return
            event = order.refuse_change(
                job.arguments["change"],
                job_id=job.id,
                code=refusal.code,
                reason=str(refusal)[:_LONGEST_REASON],
                at=self._now(),
                request_id=request_id_in(order_call_of(call_of(order_id, job))),
            )
            await tx.orders.save_many([order])
            await tx.events.add_many([event])

    async def _turn(self, job: Job) -> OrderId:
        """Return when the order is recorded, and every change that was accepted before is made. Raise `Trouble`."""
        if job.order_id is None:
            raise UnknownOrder("the job names no order")
        after, unrecorded = job.arguments.get("after", ()), job.arguments.get("unrecorded", ())
        for look in range(_LOOKS):
            async with self._unit_of_work.reading() as tx:
                order = (await tx.orders.get_many({job.order_id})).get(job.order_id)
                recorded = await tx.jobs.get_many({JobId(UUID(id_)) for id_ in unrecorded})
                waiting = {str(each.id) for each in await tx.jobs.changes_of({job.order_id})}
            if order is None and job.attempts > _MOST_ATTEMPTS:
                raise UnknownOrder(f"order {job.order_id} was accepted and never recorded")
            if order is None:
                raise NotYetRecorded(job.order_id)
            # It may never come: a restore of the database may have taken it away.
            if len(recorded) < len(unrecorded) and job.attempts <= _MOST_ATTEMPTS:
                break
            # Those that waited when this one was accepted. No clock decides which was first.
            if waiting.isdisjoint(after):
                return job.order_id
            if look + 1 < _LOOKS:
                await asyncio.sleep(_PAUSE)
        raise EarlierChangeWaits(f"another change of order {job.order_id} was accepted before this one")


async def wake(tx: Transaction, order_ids: Collection[OrderId], *, but: JobId | None = None) -> None:
    """Let the changes of these orders be tried at once."""
    waiting = [job.id for job in await tx.jobs.changes_of(order_ids) if job.status is JobStatus.RETRYABLE]
    found = await tx.jobs.get_many({id_ for id_ in waiting if id_ != but}, lock=True)
    asleep = [job for job in found.values() if job.status is JobStatus.RETRYABLE]
    if asleep:
        now = await tx.jobs.now()
        for job in asleep:
            job.retry(at=now)
        await tx.jobs.save_many(asleep)
