from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from application.access.principal import Principal
from application.execution.conditional import OnlyIf, OrderCall
from application.execution.idempotency import Keyed, KeyReused
from application.jobs.kinds import MESSAGE, Progress
from application.ports.environment import Clock, NewId
from application.ports.persistence import UnitOfWork
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, new_job
from domain.message import Message, expect_content
from domain.orders.order import Order


@frozen
class PostMessage:
    """Accept a message, about an order or in general. Return the job that stores it.

    Raise `InvalidMessage`, `UnknownOrder`, or `KeyReused` for another message under the same idempotency key.
    """

    _unit_of_work: UnitOfWork
    _get_order: Callable[[OrderCall], Awaitable[Order]]
    _new_id: NewId
    _now: Clock

    async def __call__(self, by: Principal, call: str | Keyed[str], *, order_id: OrderId | None = None) -> Job:
        content = call.call if isinstance(call, Keyed) else call
        expect_content(content)
        if order_id is None:
            by.expect_shop()
        else:
            await self._get_order(OnlyIf(order_id, owner=by.user_id))
        job = new_job(
            id=self._id(by, call),
            kind=MESSAGE,
            arguments={"content": content},
            order_id=order_id,
            now=self._now(),
        )
        async with self._unit_of_work() as tx:
            await tx.jobs.add_many([job])
            # Under a key, it may be the job of an earlier call.
            kept = (await tx.jobs.get_many({job.id}))[job.id] if isinstance(call, Keyed) else job
        if kept.arguments != job.arguments:
            raise KeyReused("this idempotency key was used for a different request; use a new key")
        return kept

    def _id(self, by: Principal, call: str | Keyed[str]) -> JobId:
        """The same request under the same key is the same job, also when the job has long been removed."""
        if not isinstance(call, Keyed):
            return JobId(self._new_id())
        # Another customer's keys are others.
        scope = f"{call.key.scope} by customer {by.user_id}" if by.user_id is not None else call.key.scope
        return JobId(evolve(call.key, scope=scope).order_id)


@frozen
class StoreMessage:
    """The handler of the job. The message has the id of its job, so that it is stored once."""

    _unit_of_work: UnitOfWork

    async def __call__(self, job: Job, _: Progress, /) -> Mapping[str, Any] | None:
        message = Message(id=job.id, content=job.arguments["content"], order_id=job.order_id, created_at=job.created_at)
        async with self._unit_of_work() as tx:
            await tx.messages.add_many([message])
        return None
