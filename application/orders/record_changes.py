from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from attrs import evolve, frozen

from application.execution.idempotency import KeyReused
from application.intake.persist_orders import PersistOrders
from application.orders.change_jobs import is_the_same, job_of, waits_for, without_later
from application.orders.queued_changes import wake
from application.orders.signed_changes import is_signed
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import Job
from domain.orders.events import OrderAccepted, OrderChangeAccepted


class ForgedChange(DomainError):
    """Nobody who answers for this shop has accepted the change. It is not made."""

    code: ClassVar[str] = "forged_change"


@frozen
class RecordChanges:
    """Make jobs of the changes that were accepted while the database was away. Those that are jobs already are skipped.

    Each waits for the changes of its order that it names, and for those that have been taken meanwhile, unless they
    wait for it. How old it is does not matter: a clock may be wrong, and the change was promised.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, events: Sequence[OrderChangeAccepted]) -> Sequence[DomainError | None]:
        outcomes: dict[int, DomainError] = {}
        async with self._unit_of_work() as tx:
            secret, emptied_at = await tx.shop.secret(), await tx.shop.emptied_at()
            now = await tx.jobs.now()
            waiting = await tx.jobs.changes_of({event.order_id for event in events})
            jobs: dict[int, Job] = {}
            for at, event in enumerate(events):
                if emptied_at is not None and event.at < emptied_at:
                    # It is gone with its order, as all that was accepted before the shop was emptied.
                    continue
                if not self._is_ours(event, secret):
                    outcomes[at] = ForgedChange(f"the change {event.job_id} has no signature of this shop")
                    continue
                others = [each for each in waiting if each.order_id == event.order_id]
                jobs[at] = job = self._job(event, others, now)
                waiting.append(job)
            await tx.jobs.add_many(list({job.id: job for job in reversed(jobs.values())}.values())[::-1])
            kept = await tx.jobs.get_many({job.id for job in jobs.values()})
            await wake(tx, {event.order_id for event in events})
        for at, job in jobs.items():
            if not is_the_same(kept[job.id], job):
                outcomes[at] = KeyReused(f"another change is known as {job.id}")
        return [outcomes.get(at) for at in range(len(events))]

    def _is_ours(self, event: OrderChangeAccepted, secret: bytes) -> bool:
        return is_signed(event, secret)

    def _job(self, event: OrderChangeAccepted, others: Sequence[Job], now: datetime) -> Job:
        job = job_of(event, now=now)
        named = [JobId(UUID(id_)) for id_ in job.arguments.get("after", ())]
        earlier = [each.id for each in without_later(others, job.id) if each.id not in named]
        return evolve(job, arguments={**job.arguments, **waits_for([*named, *earlier], unrecorded=named)})


@frozen
class RecordAccepted:
    """Record what was accepted while the database was away: orders, then changes of orders."""

    _persist_orders: PersistOrders
    _record_changes: RecordChanges

    async def __call__(self, events: Sequence[OrderAccepted | OrderChangeAccepted]) -> Sequence[Exception | None]:
        orders = {at: event for at, event in enumerate(events) if isinstance(event, OrderAccepted)}
        changes = {at: event for at, event in enumerate(events) if isinstance(event, OrderChangeAccepted)}
        outcomes: dict[int, Exception | None] = {}
        if orders:
            outcomes |= zip(orders, await self._persist_orders(list(orders.values())), strict=True)
        if changes:
            outcomes |= zip(changes, await self._record_changes(list(changes.values())), strict=True)
        return [outcomes[at] for at in range(len(events))]
