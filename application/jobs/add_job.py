from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from application.access.principal import Principal
from application.execution.idempotency import Keyed, KeyReused
from application.ports.environment import Clock, NewId
from application.ports.persistence import Transaction, UnitOfWork
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, new_job


@frozen
class StartedJob:
    """A job that was added. `replayed` is set if an earlier request under the same idempotency key has added it."""

    job: Job
    replayed: bool = False

    @property
    def id(self) -> JobId:
        return self.job.id


@frozen
class AddJob:
    """Add a job for now. The same call under the same idempotency key is the same job.

    Raise `KeyReused` for other arguments under a key.
    """

    _unit_of_work: UnitOfWork
    _new_id: NewId
    _now: Clock

    async def __call__(
        self,
        by: Principal,
        kind: str,
        call: Mapping[str, Any] | Keyed[Mapping[str, Any]],
        *,
        order_id: OrderId | None = None,
    ) -> StartedJob:
        async with self._unit_of_work() as tx:
            return await self.within(tx, by, kind, call, order_id=order_id)

    async def within(
        self,
        tx: Transaction,
        by: Principal,
        kind: str,
        call: Mapping[str, Any] | Keyed[Mapping[str, Any]],
        *,
        order_id: OrderId | None = None,
    ) -> StartedJob:
        """Add it in a transaction of the caller."""
        arguments = call.call if isinstance(call, Keyed) else call
        job = new_job(id=self._id(by, call), kind=kind, arguments=arguments, order_id=order_id, now=self._now())
        if not isinstance(call, Keyed):
            await tx.jobs.add_many([job])
            return StartedJob(job)
        was_there = bool(await tx.jobs.get_many({job.id}))
        await tx.jobs.add_many([job])
        kept = (await tx.jobs.get_many({job.id}))[job.id]
        if (kept.kind, kept.arguments) != (kind, arguments):
            raise KeyReused
        # Two requests at once may both have found no job. Only one of them has added it.
        return StartedJob(kept, replayed=was_there or kept.created_at != job.created_at)

    def _id(self, by: Principal, call: object) -> JobId:
        """A key leads to the same job, also when that has ended and has been removed."""
        if not isinstance(call, Keyed):
            return JobId(self._new_id())
        # Another customer's keys are others.
        scope = f"{call.key.scope} by customer {by.user_id}" if by.user_id is not None else call.key.scope
        return JobId(evolve(call.key, scope=scope).order_id)


def with_arguments(call: object, arguments: Mapping[str, Any]) -> Mapping[str, Any] | Keyed[Mapping[str, Any]]:
    """Return the arguments, under the key of the call if it has one."""
    return Keyed(arguments, call.key, call.fingerprint) if isinstance(call, Keyed) else arguments
