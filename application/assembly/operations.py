"""What a person on duty does: try what has failed, and decide about many things at once."""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.execution.bounded import Bounded
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.operations.bulk import Measured
from application.operations.bulk_operations import (
    BulkOperation,
    GetBulk,
    ListBulk,
    MeasureBulk,
    ReadItems,
    StartBulk,
    StopBulk,
)
from application.operations.run_bulk import RunBulk
from application.operations.trial import Trial
from application.operations.try_dead_letter import TryDeadLetter
from domain.ids import JobId
from domain.jobs.job import Job


@frozen(kw_only=True, slots=False)
class OperationsUseCases:
    try_dead_letter: Guarded[..., Trial]
    measure_bulk: Guarded[..., Measured]
    start_bulk: Guarded[..., Job]
    list_bulk: Guarded[..., Sequence[BulkOperation]]
    get_bulk: Callable[[Principal, JobId], Awaitable[BulkOperation]]
    stop_bulk: Callable[[Principal, JobId], Awaitable[BulkOperation]]
    read_items: Guarded[..., bytes]


def operations_use_cases(shared: Shared) -> OperationsUseCases:
    # The act decides which scope is needed to start one. Whoever may replay may look, and stop.
    ports, uow, needs = shared.ports, shared.uow, Scope.DEAD_LETTERS_REPLAY
    return OperationsUseCases(
        try_dead_letter=Guarded(needs, Bounded(TryDeadLetter(uow, ports.provider_ledger, ports.now))),
        measure_bulk=Guarded(None, Bounded(MeasureBulk(uow)), by_shop=True),
        start_bulk=Guarded(None, StartBulk(uow, ports.new_id, ports.now), by_shop=True),
        list_bulk=Guarded(needs, ListBulk(uow)),
        get_bulk=Guarded(needs, GetBulk(uow)),
        stop_bulk=Guarded(needs, StopBulk(uow, ports.now)),
        read_items=Guarded(needs, ReadItems(uow)),
    )


def run_bulk(shared: Shared) -> RunBulk:
    """Return the handler of the job."""
    uow, now = shared.uow, shared.ports.now
    return RunBulk(uow, ReplayDeadLetters(uow, now), DiscardDeadLetters(uow, now), shared.ports.elapsed)
