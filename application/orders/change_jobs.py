"""A change of an order as a job: what is stored of it, and how it is read again."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import asdict, frozen

from application.access.scopes import Scope
from application.errors import NotDone, Unavailable
from application.execution.conditional import OnlyIf, OrderCall, is_for, order_id_in, request_id_in
from application.execution.idempotency import Keyed
from application.intake.unrecorded import NotYetRecorded
from application.jobs.kinds import CHANGE_ORDER
from application.orders.change_details import DetailsChange
from application.ports.audit import Caller
from application.ports.environment import NewId
from application.ports.idempotency import IdempotencyKey
from domain.errors import UnknownOrder
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, new_job
from domain.orders.details import Address
from domain.orders.events import OrderChangeAccepted
from domain.orders.order import Order

Call = OrderCall | Keyed[OrderCall]

# Changes of one order that may wait. Each names those before it.
MOST_WAITING: Final = 20

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


@frozen
class ChangeQueued:
    """A change that is made later: once its order is recorded, or the database is back.

    `order` is as it is now. If the database could not be asked, it is not `is_current`: the caches may have lost newer
    versions. `replayed` is set if an earlier request under the same key has asked for the change.
    """

    order: Order
    job: Job
    replayed: bool = False
    is_current: bool = True


class TooManyChangesWait(NotDone):
    """As many changes of the order wait as may wait."""


def order_call_of(call: Call) -> OrderCall:
    return call.call if isinstance(call, Keyed) else call


def order_id_of(call: Call) -> OrderId:
    return order_id_in(order_call_of(call))


def job_id_of(call: Call, new_id: NewId) -> JobId:
    # A key belongs to one order and one customer.
    return JobId(call.key.order_id if isinstance(call, Keyed) else new_id())


def order_waited_for(
    call: Call, order: Order | Unavailable | None, id_: JobId, waiting: Collection[JobId]
) -> Order | Exception:
    """Return the order if this change may wait for it as the job `id_`, or why it may not.

    Whether the rules allow the change is not asked: the order is not what it will be when the change is made.
    """
    wanted = order_call_of(call)
    if isinstance(order, Unavailable):
        return order
    if order is None or order.deleted or not is_for(wanted, order):
        return UnknownOrder(f"there is no order {order_id_of(call)}")
    if isinstance(wanted, OnlyIf) and wanted.is_guarded:
        return NotYetRecorded(order.id)
    # A request that is sent again under its key adds none.
    if id_ not in waiting and len(waiting) >= MOST_WAITING:
        return TooManyChangesWait(f"{len(waiting)} changes of order {order.id} wait already")
    return order


def arguments_of(name: str, call: Call) -> dict[str, Any]:
    """Return the call as JSON; `call_of` reads it."""
    arguments: dict[str, Any] = {"change": name}
    if isinstance(call, Keyed):
        arguments["key"] = {"scope": call.key.scope, "value": call.key.value, "fingerprint": call.fingerprint}
    wanted = order_call_of(call)
    if isinstance(wanted, OnlyIf):
        arguments["owner"] = wanted.owner
        arguments["by"] = None if wanted.by is None else asdict(wanted.by)
    if isinstance(wanted, DetailsChange):
        arguments["changes"] = {
            name: asdict(value) if isinstance(value, Address) else value for name, value in wanted.changes.items()
        }
    return arguments


def waits_for(after: Collection[JobId], *, unrecorded: Collection[JobId] = ()) -> dict[str, Any]:
    """Return what is stored of the earlier changes: it waits for their end. Those `unrecorded` have no job yet."""
    found = {"after": list(map(str, after))}
    return found | {"unrecorded": sorted(map(str, unrecorded))} if unrecorded else found


def earlier_than(id_: JobId, accepted: Sequence[JobId]) -> Sequence[JobId]:
    """Return the accepted changes that came before this one, which is among them if its request is sent again."""
    return accepted[: accepted.index(id_)] if id_ in accepted else accepted


def without_later(waiting: Sequence[Job], id_: JobId) -> list[Job]:
    """Leave out those that wait for this change, or for one that does: two must not wait for each other."""
    later = {str(id_)}
    while True:
        more = {str(job.id) for job in waiting if not later.isdisjoint(job.arguments.get("after", ()))} - later
        if not more:
            return [job for job in waiting if str(job.id) not in later]
        later |= more


def call_of(order_id: OrderId, job: Job) -> Call:
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


def accepted_as(job: Job, call: Call) -> OrderChangeAccepted:
    """Return the message that tells of a job which can't be added now, not signed yet. `job_of` reads it."""
    if job.order_id is None:
        raise ValueError("a change is about an order")
    return OrderChangeAccepted(
        order_id=job.order_id,
        at=job.created_at,
        request_id=request_id_in(order_call_of(call)),
        job_id=job.id,
        # As it is: the JSON of the message escapes each backslash of an escape once more.
        asked=json.dumps(job.arguments, ensure_ascii=False, separators=(",", ":"), sort_keys=True),
        signature="",
    )


def job_of(change: OrderChangeAccepted, *, now: datetime) -> Job:
    return new_job(
        id=change.job_id, kind=CHANGE_ORDER, arguments=json.loads(change.asked), order_id=change.order_id, now=now
    )


def is_the_same(job: Job, other: Job) -> bool:
    """Whether both ask for the same change, whoever asked and whatever it waits for."""
    return _wanted(job) == _wanted(other)


def _wanted(job: Job) -> Mapping[str, Any]:
    return {name: value for name, value in job.arguments.items() if name not in {"by", "after", "unrecorded"}}
