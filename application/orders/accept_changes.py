"""Changes of orders while the database is away. They are accepted into the intake queue, behind the orders."""

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Generic, NamedTuple, TypeVar, cast

from attrs import define, field, frozen

from application.errors import OutcomeUnknown, Unavailable
from application.execution.conditional import OrderCall
from application.execution.idempotency import Keyed
from application.intake.unrecorded import NotYetRecorded, Unrecorded
from application.jobs.kinds import CHANGE_ORDER
from application.orders.change_jobs import (
    Call,
    ChangeQueued,
    accepted_as,
    arguments_of,
    earlier_than,
    job_id_of,
    job_of,
    order_id_of,
    order_waited_for,
    waits_for,
)
from application.orders.signed_changes import signed
from application.ports.caching import AcceptedChanges
from application.ports.environment import Clock, NewId
from application.ports.persistence import UnitOfWork
from domain.ids import JobId
from domain.jobs.job import Job, new_job
from domain.orders.events import OrderChangeAccepted

C = TypeVar("C", bound=OrderCall | Keyed[OrderCall])
R = TypeVar("R")


class NamedChange(NamedTuple):
    name: str
    call: Call


@define(eq=False)
class ShopSecret:
    """The secret of the shop. The database has it, and it is needed while the database is away."""

    _unit_of_work: UnitOfWork
    value: bytes | None = field(default=None, init=False)

    async def learn(self) -> None:
        """Raise `Unavailable`."""
        if self.value is None:
            async with self._unit_of_work.reading() as tx:
                self.value = await tx.shop.secret()


@frozen
class AcceptChanges:
    """Accept changes without the database: they are stored on the broker's disk, and become jobs when it is back.

    The order must be known here, with its owner. Whether the rules allow the change is found out when it is made.
    """

    # `IntakeQueue.put_changes`, with its timeout.
    _put: Callable[[Sequence[OrderChangeAccepted]], Awaitable[AbstractSet[JobId]]]
    _unrecorded: Unrecorded
    _accepted: AcceptedChanges
    _secret: ShopSecret
    _new_id: NewId
    _now: Clock

    async def __call__(self, changes: Sequence[NamedChange]) -> Sequence[ChangeQueued | Exception]:
        secret = self._secret.value
        if secret is None:
            return [Unavailable("the database has not answered since this process began")] * len(changes)
        ids = {order_id_of(change.call) for change in changes}
        orders = await self._unrecorded.get_many(ids)
        before = await self._accepted.of_orders(ids)
        waiting = {order_id: set(earlier) for order_id, earlier in before.items()}
        outcomes: list[ChangeQueued | Exception] = []
        for name, call in changes:
            id_, earlier = job_id_of(call, self._new_id), before.get(order_id_of(call), ())
            found = orders.get(order_id_of(call)) or Unavailable(
                "the database does not answer, and has the order alone"
            )
            order = order_waited_for(call, found, id_, waiting.setdefault(order_id_of(call), set()))
            if isinstance(order, NotYetRecorded):
                order = Unavailable("the database does not answer, and a change with a condition needs it")
            if isinstance(order, Exception):
                outcomes.append(order)
                continue
            waiting[order.id].add(id_)
            # Not those of this batch: nobody knows yet whether the broker takes them.
            after = earlier_than(id_, earlier)
            asked = arguments_of(name, call) | waits_for(after, unrecorded=after)
            job = new_job(id=id_, kind=CHANGE_ORDER, arguments=asked, order_id=order.id, now=self._now())
            outcomes.append(ChangeQueued(order, job, replayed=id_ in earlier, is_current=False))
        events = [
            signed(accepted_as(outcome.job, change.call), secret)
            for change, outcome in zip(changes, outcomes, strict=True)
            if isinstance(outcome, ChangeQueued)
        ]
        safe = await self._put(events) if events else frozenset()
        # Before the client hears of it: what it asks for next must not overtake this.
        await self._accepted.put_many([event for event in events if event.job_id in safe])
        return [
            OutcomeUnknown("the broker did not confirm the change: it may be queued or not")
            if isinstance(outcome, ChangeQueued) and outcome.job.id not in safe
            else outcome
            for outcome in outcomes
        ]


@frozen
class FindAccepted:
    """Find a change that was accepted as the job that it is about to be."""

    _accepted: AcceptedChanges

    async def __call__(self, id_: JobId) -> Job | None:
        change = await self._accepted.get(id_)
        return None if change is None else job_of(change, now=change.at)


@frozen
class ChangeOrAccept(Generic[C, R]):
    """Change an order in the database, or accept the change into the queue while the database is away.

    A change whose outcome is unknown is not accepted as well: it may have been made.
    """

    _name: str
    _change: Callable[[C], Awaitable[R]]
    # The same, with a timeout, and refused at once for a moment after the database did not answer.
    _change_in_time: Callable[[C], Awaitable[R]]
    # Whether the database has just answered. Then one call that fails keeps no other from it.
    _answers: Callable[[], bool]
    _accept: Callable[[NamedChange], Awaitable[ChangeQueued]]

    async def __call__(self, call: C) -> R | ChangeQueued:
        change = self._change if self._answers() else self._change_in_time
        try:
            return await change(call)
        except Unavailable as unavailable:
            try:
                return await self._accept(NamedChange(self._name, cast("Call", call)))
            except Unavailable:
                raise unavailable from None
