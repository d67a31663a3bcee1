from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import frozen

from application.access.principal import Principal
from application.execution.conditional import OnlyIf, OrderCall
from application.execution.idempotency import Keyed
from application.jobs.add_job import AddJob, StartedJob, with_arguments
from application.jobs.kinds import MESSAGE, Progress
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.jobs.job import Job
from domain.message import Message, expect_content
from domain.orders.order import Order


@frozen
class PostMessage:
    """Accept a message, about an order or in general. Return the job that stores it.

    Raise `InvalidMessage`, `UnknownOrder`, or `KeyReused` for another message under the same idempotency key.
    """

    _add_job: AddJob
    _get_order: Callable[[OrderCall], Awaitable[Order]]

    async def __call__(self, by: Principal, call: str | Keyed[str], *, order_id: OrderId | None = None) -> StartedJob:
        content = call.call if isinstance(call, Keyed) else call
        expect_content(content)
        if order_id is None:
            by.expect_shop()
        else:
            await self._get_order(OnlyIf(order_id, owner=by.user_id))
        return await self._add_job(by, MESSAGE, with_arguments(call, {"content": content}), order_id=order_id)


@frozen
class StoreMessage:
    """The handler of the job. The message has the id of its job, so that it is stored once."""

    _unit_of_work: UnitOfWork

    async def __call__(self, job: Job, _: Progress, /) -> Mapping[str, Any] | None:
        message = Message(id=job.id, content=job.arguments["content"], order_id=job.order_id, created_at=job.created_at)
        async with self._unit_of_work() as tx:
            await tx.messages.add_many([message])
        return None
