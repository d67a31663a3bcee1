"""The JSON of bulk operations."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from attrs import asdict
from msgspec import UNSET, Meta, Struct, UnsetType

from application.messaging.subscriptions import WORK_QUEUES
from application.operations.bulk import MOST_CHOSEN, ON_ORDERS, Act, BulkRequest, ChosenOrders, Confirmation, Measured
from application.operations.bulk_operations import BulkOperation
from domain.dead_letter_groups import CauseFilter
from domain.ids import MAX_ID, OrderId
from domain.jobs.job import JobStatus
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.bodies.dead_letters import Reason
from entrypoints.http.bodies.jobs import BrokenJobBody
from entrypoints.http.bodies.order_filter import OrderFilterBody
from entrypoints.http.field_errors import PRINTABLE
from entrypoints.http.query import MAX_PLACE, MAX_SUBJECT
from entrypoints.http.refusals import InvalidRequest, in_body

_QUEUES = tuple(work.name for work in WORK_QUEUES)


class CauseFilterBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What is given must hold."""

    queue: Literal[_QUEUES] | None = None  # type: ignore[valid-type] # the table of queues says which there are
    error: Annotated[str, Meta(min_length=1, max_length=MAX_SUBJECT, pattern=PRINTABLE)] | None = None
    place: Annotated[str, Meta(max_length=MAX_PLACE, pattern=PRINTABLE)] | None = None

    def to_filter(self) -> CauseFilter:
        return CauseFilter(queue=self.queue, error=self.error, place=self.place)


class ChosenOrdersBody(OrderFilterBody, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Orders by their `ids`, or those of which all that is given else holds. Something must be given."""

    ids: Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=MOST_CHOSEN)] | UnsetType = UNSET

    @classmethod
    def of(cls, chosen: ChosenOrders) -> "ChosenOrdersBody":
        # It was checked when it was chosen, perhaps by the rules of an earlier release.
        return cls(ids=chosen.ids) if chosen.ids else cls(**chosen.only)

    def to_chosen(self) -> ChosenOrders:
        """Raise `InvalidRequest`."""
        given = self.as_json("orders")
        ids = given.pop("ids", ())
        if bool(ids) == bool(given):
            raise InvalidRequest(in_body("orders", "choose orders by their ids, or by something else, not by both"))
        return ChosenOrders(ids=tuple(map(OrderId, ids)), only=given)


class StartBulkBody(LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`filter` is for dead letters, and `orders` for orders, which are cancelled or whose payment is asked for again.

    With `dry_run`, the items are counted, and nothing is done. Of more than 100, `count` and `digest` confirm which.
    """

    act: Act
    filter: CauseFilterBody = CauseFilterBody()
    orders: ChosenOrdersBody | None = None
    reason: Reason = ""
    dry_run: bool = False
    count: Annotated[int, Meta(ge=0, le=MAX_ID)] | None = None
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")] | None = None

    @property
    def shown(self) -> Confirmation:
        return Confirmation(self.count, self.digest)

    def to_request(self) -> BulkRequest:
        """Raise `InvalidRequest`."""
        if self.act not in ON_ORDERS:
            if self.orders is not None:
                raise InvalidRequest(in_body("orders", f"{self.act} is about dead letters: choose them by filter"))
            return BulkRequest(act=self.act, only=self.filter.to_filter(), reason=self.reason)
        errors = []
        if self.filter != CauseFilterBody():
            errors.append(in_body("filter", f"{self.act} is about orders: choose them by orders"))
        if self.orders is None:
            raise InvalidRequest(*errors, in_body("orders", f"choose the orders that {self.act} is about"))
        if errors:
            raise InvalidRequest(*errors)
        return BulkRequest(act=self.act, only=self.orders.to_chosen(), reason=self.reason)


class MeasuredBody(Struct, frozen=True):
    """How many items there are, and by `digest` which. With `more`, there are others, which would be left out."""

    count: int
    digest: str
    more: bool
    needs_count: bool

    @classmethod
    def of(cls, found: Measured) -> "MeasuredBody":
        return cls(found.count, found.digest, found.more, found.needs_count)


class BulkBody(Struct, frozen=True, kw_only=True):
    """A bulk operation, and how far it is. `in_flight` were replayed or asked for, and have no outcome yet."""

    job_id: UUID
    act: Act
    filter: CauseFilterBody
    orders: ChosenOrdersBody | None
    reason: str
    by: str
    status: JobStatus
    error: str | None
    count: int
    done: int
    failed: int
    skipped: int
    open: int
    in_flight: int
    stopped: str
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, found: BulkOperation) -> "BulkBody":
        job, wanted, outcomes = found.job, found.request, found.outcomes
        return cls(
            job_id=job.id,
            act=wanted.act,
            filter=CauseFilterBody(**asdict(wanted.only))
            if isinstance(wanted.only, CauseFilter)
            else CauseFilterBody(),
            orders=ChosenOrdersBody.of(wanted.only) if isinstance(wanted.only, ChosenOrders) else None,
            reason=wanted.reason,
            by=found.by,
            status=job.status,
            error=job.error,
            count=found.count,
            **{outcome: outcomes.get(outcome, 0) for outcome in ("done", "failed", "skipped", "open")},
            in_flight=found.in_flight,
            stopped=found.stopped,
            created_at=job.created_at,
            finished_at=job.finished_at,
        )


class BulksBody(Struct, frozen=True):
    items: list[BulkBody]
    next: str | None
    # Those that belong to this page and can't be shown, if there are any.
    broken: list[BrokenJobBody] | UnsetType = UNSET
