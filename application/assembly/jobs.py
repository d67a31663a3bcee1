"""Jobs, and what adds them: messages and examples."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.admin.seed_orders import PlaceExamples, SeedOrders
from application.assembly.imports import run_import
from application.assembly.operations import run_bulk
from application.assembly.shared import Shared
from application.assembly.upkeep import run_reconciliation
from application.execution.idempotency import Keyed
from application.exports import request as exports
from application.exports.pages import ReadExportPages
from application.exports.write_export import WriteExport
from application.feed.read_feed import ReadFeed
from application.imports import request as imports
from application.intake.place_order import PlaceOrder
from application.jobs.add_job import AddJob, StartedJob
from application.jobs.change_job import CancelJob, RetryJob
from application.jobs.kinds import (
    BULK,
    CHANGE_ORDER,
    EXPORT,
    IMPORT,
    MESSAGE,
    RECONCILE,
    RECOVER_WEBHOOKS,
    SEED_ORDERS,
    JobHandler,
    JobNeeds,
)
from application.jobs.look_up import CountJobs, GetJob, ListJobs
from application.jobs.remove_old import RemoveJobs
from application.jobs.run_jobs import RunJobs
from application.messages.list_messages import ListMessages
from application.messages.post_message import PostMessage, StoreMessage
from application.operations import bulk
from application.orders.accept_changes import FindAccepted
from application.orders.change_jobs import CHANGE_NEEDS
from application.orders.queued_changes import MakeChange
from application.ports.broken import BrokenJob
from application.reconciliation import runs
from application.webhooks.deliveries import RecoverDeliveries
from domain.ids import JobId
from domain.jobs.job import Job
from domain.message import Message


def _always(scope: Scope) -> JobNeeds:
    return lambda _: [scope]


def _by(argument: str, needs: Mapping[Any, Scope]) -> JobNeeds:
    return lambda arguments: [needs.get(arguments.get(argument), Scope.ADMIN)]


# The scopes that starting a job of a kind needs. Whoever retries or cancels one needs them as well: a job does its work
# in the name of the caller who started it.
JOB_NEEDS: Final[Mapping[str, JobNeeds]] = MappingProxyType(
    {
        MESSAGE: _always(Scope.ORDERS_WRITE),
        SEED_ORDERS: _always(Scope.ADMIN),
        EXPORT: _by("what", exports.NEEDS),
        IMPORT: _by("what", imports.NEEDS),
        CHANGE_ORDER: _by("change", CHANGE_NEEDS),
        BULK: bulk.needs_of,
        RECONCILE: lambda arguments: runs.REPAIR_NEEDS if arguments.get("repairs") else [Scope.RECONCILE],
        RECOVER_WEBHOOKS: _always(Scope.WEBHOOKS_WRITE),
    }
)


@frozen(kw_only=True, slots=False)
class JobUseCases:
    post_message: Guarded[..., StartedJob]
    list_messages: Guarded[..., Sequence[Message]]
    get_job: Callable[[Principal, JobId], Awaitable[Job]]
    list_jobs: Guarded[..., Sequence[Job | BrokenJob]]
    count_jobs: Guarded[..., int]
    retry_job: Callable[[Principal, JobId], Awaitable[Job]]
    cancel_job: Callable[[Principal, JobId], Awaitable[Job]]
    seed_orders: Callable[[Principal, int | Keyed[int]], Awaitable[StartedJob]]
    run_jobs: RunJobs
    remove_jobs: RemoveJobs


def job_use_cases(shared: Shared) -> JobUseCases:
    uow, now, get_order = shared.uow, shared.ports.now, shared.get_order
    # The kinds of jobs. A new kind is a handler, and a line here and in `JOB_NEEDS`.
    job_kinds: dict[str, JobHandler] = {
        MESSAGE: StoreMessage(uow),
        SEED_ORDERS: PlaceExamples(uow, PlaceOrder(uow)),
        EXPORT: WriteExport(uow, ReadExportPages(uow, ReadFeed(uow)), shared.ports.row_writers),
        IMPORT: run_import(shared),
        CHANGE_ORDER: MakeChange(uow, now, shared.changes),
        BULK: run_bulk(shared),
        RECONCILE: run_reconciliation(shared),
        RECOVER_WEBHOOKS: RecoverDeliveries(uow),
    }
    add_job = AddJob(uow, shared.ports.new_id, now)
    return JobUseCases(
        post_message=Guarded(Scope.ORDERS_WRITE, PostMessage(add_job, get_order)),
        list_messages=Guarded(Scope.ORDERS_READ, ListMessages(uow, get_order)),
        get_job=Guarded(Scope.ORDERS_READ, GetJob(uow, shared.unrecorded, FindAccepted(shared.ports.accepted_changes))),
        list_jobs=Guarded(Scope.ORDERS_READ, ListJobs(uow), by_shop=True),
        count_jobs=Guarded(Scope.ORDERS_READ, CountJobs(uow), by_shop=True),
        retry_job=Guarded(Scope.ORDERS_WRITE, RetryJob(uow, JOB_NEEDS), by_shop=True),
        cancel_job=Guarded(Scope.ORDERS_WRITE, CancelJob(uow, JOB_NEEDS), by_shop=True),
        seed_orders=Guarded(Scope.ADMIN, SeedOrders(uow, add_job)),
        run_jobs=RunJobs(uow, job_kinds, limit=shared.limits.max_jobs),
        remove_jobs=RemoveJobs(uow, shared.limits.job_retention),
    )
