"""The shop at a glance."""

from collections.abc import Sequence

from attrs import frozen

from application.access.guarded import Guarded, for_anybody
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.overview.look_over import (
    Accepted,
    CountAccepted,
    MeasureTimeToPaid,
    SeeProvider,
    SeeQueues,
    SeeUpkeep,
    SeeWaiting,
    TimesToPaid,
)
from application.ports.overview import QueueState, Upkeep, Waiting
from application.ports.payments import ProviderSilence


@frozen(kw_only=True, slots=False)
class OverviewUseCases:
    count_accepted: Guarded[..., Accepted]
    measure_time_to_paid: Guarded[..., TimesToPaid]
    see_waiting: Guarded[..., Waiting]
    see_upkeep: Guarded[..., Upkeep]
    see_provider: Guarded[..., ProviderSilence | None]
    see_queues: Guarded[..., Sequence[QueueState]]


def overview_use_cases(shared: Shared) -> OverviewUseCases:
    overview, needs = shared.ports.overview, Scope.ORDERS_READ
    return OverviewUseCases(
        count_accepted=Guarded(needs, for_anybody(CountAccepted(overview, shared.ports.now)), by_shop=True),
        measure_time_to_paid=Guarded(needs, for_anybody(MeasureTimeToPaid(overview)), by_shop=True),
        see_waiting=Guarded(needs, for_anybody(SeeWaiting(overview, shared.limits.stuck_after)), by_shop=True),
        see_upkeep=Guarded(needs, for_anybody(SeeUpkeep(overview)), by_shop=True),
        see_provider=Guarded(needs, for_anybody(SeeProvider(overview)), by_shop=True),
        see_queues=Guarded(needs, for_anybody(SeeQueues(shared.ports.queues)), by_shop=True),
    )
