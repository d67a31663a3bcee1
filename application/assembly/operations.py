"""What a person on duty does: try what has failed, and decide about many things at once."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.execution.bounded import Bounded
from application.jobs.add_job import StartedJob
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.operations.act_on_orders import ActOnOrders
from application.operations.bulk import Measured
from application.operations.bulk_operations import (
    BulkFound,
    BulkOperation,
    GetBulk,
    ListBulk,
    MeasureBulk,
    ReadItems,
    StartBulk,
    StopBulk,
)
from application.operations.find_letters import FindLetters, LettersFound
from application.operations.run_bulk import RunBulk
from application.operations.trial import Trial
from application.operations.try_dead_letter import TryDeadLetter
from application.orders.cancel_order import CancelOrder
from application.payments.request_payment import RequestPayment
from domain.ids import JobId


@frozen(kw_only=True, slots=False)
class OperationsUseCases:
    find_letters: Guarded[..., LettersFound]
    try_dead_letter: Guarded[..., Trial]
    measure_bulk: Guarded[..., Measured]
    start_bulk: Guarded[..., StartedJob]
    list_bulk: Guarded[..., BulkFound]
    get_bulk: Callable[[Principal, JobId], Awaitable[BulkOperation]]
    stop_bulk: Callable[[Principal, JobId], Awaitable[BulkOperation]]
    read_items: Guarded[..., bytes]


def operations_use_cases(shared: Shared) -> OperationsUseCases:
    # The act decides which scope is needed to start one, and to follow it.
    ports, uow, needs = shared.ports, shared.uow, Scope.DEAD_LETTERS_REPLAY
    return OperationsUseCases(
        find_letters=Guarded(needs, Bounded(FindLetters(uow))),
        try_dead_letter=Guarded(needs, Bounded(TryDeadLetter(uow, ports.provider_ledger, ports.now))),
        measure_bulk=Guarded(None, Bounded(MeasureBulk(uow)), by_shop=True),
        start_bulk=Guarded(None, StartBulk(uow, ports.new_id, ports.now), by_shop=True),
        list_bulk=Guarded(None, ListBulk(uow), by_shop=True),
        get_bulk=Guarded(None, GetBulk(uow), by_shop=True),
        stop_bulk=Guarded(None, StopBulk(uow, ports.now), by_shop=True),
        read_items=Guarded(None, ReadItems(uow), by_shop=True),
    )


def run_bulk(shared: Shared) -> RunBulk:
    """Return the handler of the job."""
    uow, now = shared.uow, shared.ports.now
    on_orders = ActOnOrders(
        CancelOrder(uow, now), RequestPayment(uow, now), shared.unrecorded, shared.ports.accepted_changes
    )
    return RunBulk(uow, ReplayDeadLetters(uow, now), DiscardDeadLetters(uow, now), on_orders, shared.ports.elapsed)
