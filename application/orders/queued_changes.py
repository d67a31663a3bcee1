"""Changes of orders that are not recorded yet. They wait as jobs, and are made in sequence once the order is there."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from attrs import asdict, evolve, frozen

from application.access.scopes import Scope
from application.errors import NotDone, Unavailable
from application.execution.conditional import OnlyIf, OrderCall, is_for, order_id_in, request_id_in
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.unrecorded import NotYetRecorded, Unrecorded
from application.jobs.kinds import CHANGE_ORDER, Progress
from application.orders.change_details import DetailsChange
from application.ports.audit import Caller
from application.ports.environment import Clock, NewId
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import Transaction, UnitOfWork
from domain.errors import DomainError, UnknownOrder
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, JobStatus, new_job
from domain.orders.details import Address
from domain.orders.events import OrderChangeRefused
from domain.orders.order import Order

Call = OrderCall | Keyed[OrderCall]
C = TypeVar("C", bound=OrderCall | Keyed[OrderCall])
R = TypeVar("R")

# The attempts of about a day, after which the order is not waited for any more. No clock decides that.
_MOST_ATTEMPTS: Final = 300
# Looks at an earlier change that is about to end, and the seconds between two.
_LOOKS, _PAUSE = 50, 0.1
# Changes of one order that may wait. Each names those before it.
MOST_WAITING: Final = 20
# Characters of an event.
_LONGEST_REASON: Final = 2000


@frozen
class ChangeQueued:
    """A change that is made once its order is recorded. `order` is as it is known now.

    `replayed` is set if an earlier request under the same key has asked for it.
    """

    order: Order
    job: Job
    replayed: bool = False


class EarlierChangeWaits(NotDone):
    """Another change of the order was accepted before this one, and is not made yet."""


class TooManyChangesWait(NotDone):
    """As many changes of the order wait as may wait."""


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
    _new_id: NewId

    async def __call__(self, calls: Sequence[C]) -> Sequence[R | ChangeQueued | Exception]:
        async with self._unit_of_work.reading() as tx:
            busy = {job.order_id for job in await tx.jobs.changes_of(set(map(_order_id, calls)))}
        at_once = [at for at, call in enumerate(calls) if _order_id(call) not in busy]
        outcomes: dict[int, R | ChangeQueued | Exception] = {}
        if at_once:
            told = await self._change([calls[at] for at in at_once])
            outcomes = dict(zip(at_once, told, strict=True))
        to_wait = [at for at in range(len(calls)) if at not in outcomes or isinstance(outcomes[at], NotYetRecorded)]
        if to_wait:
            outcomes |= dict(zip(to_wait, await self._queue([calls[at] for at in to_wait]), strict=True))
        return [outcomes[at] for at in range(len(calls))]

    async def _queue(self, calls: Sequence[C]) -> list[ChangeQueued | Exception]:
        ids = set(map(_order_id, calls))
        accepted = await self._unrecorded.get_many(ids)
        outcomes: list[ChangeQueued | Exception] = []
        async with self._unit_of_work() as tx:
            orders = accepted | await tx.orders.get_many(ids)
            before = await tx.jobs.changes_of(ids)
            now = await tx.jobs.now()
            for call in calls:
                order, wanted = orders.get(_order_id(call)), _order_call(call)
                if isinstance(order, Unavailable):
                    outcomes.append(order)
                elif order is None or order.deleted or not is_for(wanted, order):
                    outcomes.append(UnknownOrder(f"there is no order {_order_id(call)}"))
                elif isinstance(wanted, OnlyIf) and wanted.is_guarded:
                    outcomes.append(NotYetRecorded(order.id))
                else:
                    id_, earlier = _job_id(call, self._new_id), [job.id for job in before if job.order_id == order.id]
                    queued = {
                        each.job.id for each in outcomes if isinstance(each, ChangeQueued) and each.order is order
                    }
                    # A request that is sent again under its key adds none.
                    if id_ not in (waiting := queued.union(earlier)) and len(waiting) >= MOST_WAITING:
                        outcomes.append(TooManyChangesWait(f"{len(waiting)} changes of order {order.id} wait already"))
                        continue
                    job = new_job(
                        id=id_,
                        kind=CHANGE_ORDER,
                        arguments=_arguments(self._name, call) | {"after": list(map(str, earlier))},
                        order_id=order.id,
                        now=now,
                    )
                    outcomes.append(ChangeQueued(order, job, replayed=id_ in waiting))
            await tx.jobs.add_many([each.job for each in outcomes if isinstance(each, ChangeQueued)])
            kept = await tx.jobs.get_many({each.job.id for each in outcomes if isinstance(each, ChangeQueued)})
        return [_as_kept(each, kept) if isinstance(each, ChangeQueued) else each for each in outcomes]


def _as_kept(queued: ChangeQueued, kept: Mapping[JobId, Job]) -> ChangeQueued | KeyReused:
    """Return the change with its job, which may be that of an earlier request under the same key."""
    job = kept[queued.job.id]
    if _wanted(job) != _wanted(queued.job):
        return KeyReused()
    return evolve(queued, job=job)


def _wanted(job: Job) -> Mapping[str, Any]:
    return {name: value for name, value in job.arguments.items() if name not in {"by", "after"}}


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
        [outcome] = await self._changes[job.arguments["change"]]([_call(order_id, job)])
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
                request_id=request_id_in(_order_call(_call(order_id, job))),
            )
            await tx.orders.save_many([order])
            await tx.events.add_many([event])

    async def _turn(self, job: Job) -> OrderId:
        """Return when the order is recorded, and every change that was accepted before is made. Raise `Trouble`."""
        if job.order_id is None:
            raise UnknownOrder("the job names no order")
        for look in range(_LOOKS):
            async with self._unit_of_work.reading() as tx:
                order = (await tx.orders.get_many({job.order_id})).get(job.order_id)
                waiting = {str(each.id) for each in await tx.jobs.changes_of({job.order_id})}
            if order is None and job.attempts > _MOST_ATTEMPTS:
                raise UnknownOrder(f"order {job.order_id} was accepted and never recorded")
            if order is None:
                raise NotYetRecorded(job.order_id)
            # Those that waited when this one was accepted. No clock decides which was first.
            if waiting.isdisjoint(job.arguments.get("after", ())):
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


def _order_call(call: Call) -> OrderCall:
    return call.call if isinstance(call, Keyed) else call


def _order_id(call: Call) -> OrderId:
    return order_id_in(_order_call(call))


def _job_id(call: Call, new_id: NewId) -> JobId:
    # A key belongs to one order and one customer.
    return JobId(call.key.order_id if isinstance(call, Keyed) else new_id())


def _arguments(name: str, call: Call) -> dict[str, Any]:
    """Return the call as JSON; `_call` reads it."""
    arguments: dict[str, Any] = {"change": name}
    if isinstance(call, Keyed):
        arguments["key"] = {"scope": call.key.scope, "value": call.key.value, "fingerprint": call.fingerprint}
    wanted = _order_call(call)
    if isinstance(wanted, OnlyIf):
        arguments["owner"] = wanted.owner
        arguments["by"] = None if wanted.by is None else asdict(wanted.by)
    if isinstance(wanted, DetailsChange):
        arguments["changes"] = {
            name: asdict(value) if isinstance(value, Address) else value for name, value in wanted.changes.items()
        }
    return arguments


def _call(order_id: OrderId, job: Job) -> Call:
    arguments = job.arguments
    by = arguments.get("by")
    whose: dict[str, Any] = {"owner": arguments.get("owner"), "by": None if by is None else Caller(**by)}
    if "changes" in arguments:
        changes = {
            name: Address(**value) if name.endswith("_address") and value is not None else value
            for name, value in arguments["changes"].items()
        }
        return DetailsChange(order_id, **whose, changes=changes)
    wanted = OnlyIf(order_id, **whose)
    if arguments["change"] != PAY:
        return wanted
    # A payment is requested once for the job, also if it has failed by the time the job is run again.
    key = arguments.get("key") or {"scope": "job", "value": str(job.id), "fingerprint": "job"}
    return Keyed(wanted, IdempotencyKey(key["scope"], key["value"]), key["fingerprint"])


# The names of the changes, as they are stored.
CANCEL: Final = "cancel"
CHANGE_DETAILS: Final = "change_details"
COMPLETE: Final = "complete"
DELETE: Final = "delete"
PAY: Final = "pay"
REFUND: Final = "refund"
# Each needs the same scope as when it is made at once.
CHANGE_NEEDS: Final[Mapping[str, Scope]] = MappingProxyType(
    dict.fromkeys((CANCEL, CHANGE_DETAILS, COMPLETE, DELETE), Scope.ORDERS_WRITE)
    | {PAY: Scope.PAYMENTS_WRITE, REFUND: Scope.REFUNDS_WRITE}
)
