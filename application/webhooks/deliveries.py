"""What endpoints were sent: look it up, and have it sent again."""

from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from attrs import field, frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.execution.idempotency import Keyed
from application.jobs.add_job import AddJob, StartedJob, with_arguments
from application.jobs.kinds import RECOVER_WEBHOOKS
from application.jobs.kinds import Progress as JobProgress
from application.ports.audit import AuditEntry
from application.ports.environment import Clock
from application.ports.feed import FED_TYPES, FeedFilter, FeedRange, Position, types_among
from application.ports.persistence import UnitOfWork
from application.ports.webhook_store import DeliveryFilter
from application.ports.webhooks import Attempt
from application.webhooks.changing import end_rest, locked, unknown_endpoint
from domain.errors import IllegalTransition
from domain.ids import EndpointId
from domain.jobs.job import Job
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, UnknownDelivery
from domain.webhooks.endpoint import Endpoint, InvalidEndpoint

_BATCH: Final = 500


@frozen
class ListDeliveries:
    """A page of deliveries, of one endpoint or of all, those of an endpoint together, the newest first.

    Raise `UnknownEndpoint` for one that never was. What a deleted one was sent can still be listed.
    """

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _: Principal, only: DeliveryFilter, *, before: DeliveryId | None = None, limit: int
    ) -> Sequence[Delivery]:
        async with self._unit_of_work.reading() as tx:
            id_ = only.endpoint_id
            if id_ is not None and id_ not in await tx.webhook_endpoints.get_many({id_}):
                raise unknown_endpoint(id_)
            return await tx.webhook_deliveries.page(only, before=before, limit=limit)


@frozen
class Attempted:
    """A delivery with each of its attempts, the oldest first."""

    delivery: Delivery
    attempts: Sequence[Attempt]


@frozen
class GetDelivery:
    """Read one delivery. Raise `UnknownDelivery`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: DeliveryId) -> Attempted:
        async with self._unit_of_work.reading() as tx:
            found = (await tx.webhook_deliveries.get_many(id_.endpoint_id, {id_.position})).get(id_.position)
            if found is None:
                raise _unknown(id_)
            return Attempted(found, await tx.webhook_deliveries.attempts(id_))


@frozen
class ResendDelivery:
    """Send an event once more, also one that has arrived. It overtakes those that wait. A rest of its endpoint is over.

    Raise `UnknownDelivery`, or `IllegalTransition` if its endpoint is disabled, was deleted, or does not want it.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, id_: DeliveryId) -> Delivery:
        async with self._unit_of_work() as tx:
            # As any change of an endpoint, so that it is not deleted or disabled meanwhile.
            endpoint = (await tx.webhook_endpoints.get_many({id_.endpoint_id}, lock=True)).get(id_.endpoint_id)
            progress = (await tx.webhook_progress.get_many({id_.endpoint_id}, lock=True)).get(id_.endpoint_id)
            found = await tx.webhook_deliveries.get_many(id_.endpoint_id, {id_.position}, lock=True)
            delivery = found.get(id_.position)
            if delivery is None or endpoint is None or progress is None:
                raise _unknown(id_)
            _expect_to_be_sent(endpoint, delivery)
            now = await tx.jobs.now()
            delivery.resend(at=now)
            progress.stand(now, is_troubled=True)
            progress.end_rest()
            await tx.webhook_deliveries.save_many([delivery], {})
            await tx.webhook_progress.save_many([progress])
            entry = AuditEntry(
                at=self._now(),
                by=caller_of(by),
                action="webhook_delivery.resent",
                subject=f"webhook_endpoint {endpoint.id}",
                after={"position": id_.position, "order_id": str(delivery.order_id), "type": delivery.type},
            )
            await tx.audit.add_many([entry])
        return delivery


@frozen(kw_only=True)
class RecoverRequest:
    """Which of the events that an endpoint was sent in vain are to be sent again, by when they happened.

    Those that wait for their first attempt are sent in their turn.
    """

    endpoint_id: EndpointId
    since: datetime
    until: datetime | None = None
    types: tuple[str, ...] = ()

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "RecoverRequest":
        """Return the request that a job was given."""
        until = arguments["until"]
        return cls(
            endpoint_id=EndpointId(UUID(arguments["endpoint_id"])),
            since=datetime.fromisoformat(arguments["since"]),
            until=None if until is None else datetime.fromisoformat(until),
            types=tuple(arguments["types"]),
        )

    def arguments(self) -> dict[str, Any]:
        return {
            "endpoint_id": str(self.endpoint_id),
            "since": self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "types": list(self.types),
        }

    def wants(self, delivery: Delivery) -> bool:
        return (
            (not delivery.is_open or delivery.status is DeliveryStatus.RETRYING)
            and self.since <= delivery.at
            and (self.until is None or delivery.at < self.until)
            and (not self.types or delivery.type in types_among(FED_TYPES, self.types))
        )

    def expect_valid(self) -> None:
        """Raise `InvalidEndpoint`."""
        if self.until is not None and self.until <= self.since:
            raise InvalidEndpoint("it is after `since`", field="until")
        for index, pattern in enumerate(self.types):
            if not types_among(FED_TYPES, [pattern]):
                known = ", ".join(sorted(FED_TYPES))
                raise InvalidEndpoint(f"{pattern[:40]!r} names no type: there are {known}", field=f"types[{index}]")


@frozen
class StartRecovery:
    """Have the events sent again that an endpoint has missed, and end a rest of it. Return the job that does so.

    Raise `UnknownEndpoint`, `InvalidEndpoint`, `KeyReused`, or `IllegalTransition` for an endpoint that is disabled.
    """

    _unit_of_work: UnitOfWork
    _add_job: AddJob
    _now: Clock

    async def __call__(self, by: Principal, call: RecoverRequest | Keyed[RecoverRequest]) -> StartedJob:
        wanted = call.call if isinstance(call, Keyed) else call
        wanted.expect_valid()
        async with self._unit_of_work() as tx:
            endpoint, arguments = await locked(tx, wanted.endpoint_id), wanted.arguments()
            started = await self._add_job.within(tx, by, RECOVER_WEBHOOKS, with_arguments(call, arguments))
            if started.replayed:
                return started
            if not endpoint.is_served:
                raise IllegalTransition("the endpoint is disabled: enable it first")
            await end_rest(tx, endpoint.id)
            entry = AuditEntry(
                at=self._now(),
                by=caller_of(by),
                action="webhook_endpoint.recovered",
                subject=f"webhook_endpoint {endpoint.id}",
                after=arguments | {"job_id": str(started.id)},
            )
            await tx.audit.add_many([entry])
        return started


@frozen
class RecoverDeliveries:
    """The job that has events sent again. A delivery that an earlier attempt of the job has opened stays as it is.

    Its result also counts the events that wait for their turn, whatever their time and type: wanted events that the
    endpoint has not got to, and deliveries that wait for their first attempt.
    """

    _unit_of_work: UnitOfWork
    _batch: int = field(default=_BATCH, kw_only=True)

    async def __call__(self, job: Job, progress: JobProgress) -> Mapping[str, Any]:
        wanted = RecoverRequest.of(job.arguments)
        behind = await self._behind(wanted.endpoint_id)
        # The earliest first, so that no event is sent before an earlier one of its order is open.
        positions, waiting = await self._positions(wanted)
        for start in range(0, len(positions), self._batch):
            async with self._unit_of_work() as tx:
                # As any change of an endpoint, so that it is not deleted or disabled meanwhile.
                endpoint = await locked(tx, wanted.endpoint_id)
                reached = (await tx.webhook_progress.get_many({endpoint.id}, lock=True))[endpoint.id]
                found = await tx.webhook_deliveries.get_many(
                    endpoint.id, positions[start : start + self._batch], lock=True
                )
                again = [each for each in found.values() if wanted.wants(each)]
                now = await tx.jobs.now()
                for delivery in again:
                    delivery.recover(at=now)
                if again:
                    reached.stand(now, is_troubled=True)
                await tx.webhook_deliveries.save_many(again, {})
                await tx.webhook_progress.save_many([reached])
            progress.done += len(again)
        return {"sent_again": progress.done, "waiting": behind + waiting}

    async def _behind(self, id_: EndpointId) -> int:
        """Count the wanted events that the endpoint has not got to. There are none if the endpoint is gone."""
        async with self._unit_of_work.reading() as tx:
            endpoint = (await tx.webhook_endpoints.get_many({id_})).get(id_)
            progress = (await tx.webhook_progress.get_many({id_})).get(id_)
            if endpoint is None or endpoint.deleted_at is not None or progress is None:
                return 0
            only = FeedFilter(types=types_among(FED_TYPES, endpoint.events))
            newest = (await tx.feed.bounds()).newest
            return await tx.feed.count(FeedRange(after=Position(progress.passed), until=newest, only=only))

    async def _positions(self, wanted: RecoverRequest) -> tuple[Sequence[int], int]:
        """Return the positions of what is wanted, ascending, and how many deliveries wait for their first attempt."""
        only = DeliveryFilter(endpoint_id=wanted.endpoint_id, undelivered=True)
        found, waiting, before = array("q"), 0, None
        while True:
            async with self._unit_of_work.reading() as tx:
                page = await tx.webhook_deliveries.page(only, before=before, limit=self._batch)
            found.extend(each.id.position for each in page if wanted.wants(each))
            waiting += sum(each.status is DeliveryStatus.PENDING for each in page)
            if len(page) < self._batch:
                found.reverse()
                return found, waiting
            before = page[-1].id


def _unknown(id_: DeliveryId) -> UnknownDelivery:
    return UnknownDelivery(f"there is no webhook delivery {id_}, or it ended long ago and was removed")


def _expect_to_be_sent(endpoint: Endpoint, delivery: Delivery) -> None:
    """Raise `IllegalTransition`: what would never be sent is not accepted."""
    if endpoint.deleted_at is not None:
        raise IllegalTransition("the endpoint was deleted")
    if endpoint.disabled is not None:
        raise IllegalTransition("the endpoint is disabled: enable it first")
    if delivery.type not in types_among(FED_TYPES, endpoint.events):
        raise IllegalTransition(f"the endpoint does not want {delivery.type} any more")
