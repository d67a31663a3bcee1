"""What finds out whether all is well, and puts it right."""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.admin.reset_shop import ResetShop
from application.assembly.shared import Shared
from application.execution.prune_keys import PruneKeys
from application.jobs.files import ReadFile
from application.orders.record_changes import RecordChanges
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.broken import BrokenJob
from application.reconciliation.after_restore import CompareCharges
from application.reconciliation.find_stuck import FindStuck
from application.reconciliation.find_unrecorded import FindUnrecorded
from application.reconciliation.reconcile import Reconcile
from application.reconciliation.repair import Repair
from application.reconciliation.run import RunReconciliation
from application.reconciliation.start import (
    GetReconciliation,
    ListReconciliations,
    Reconciliation,
    RepairDiscrepancies,
    StartReconciliation,
)
from application.reconciliation.webhooks import CompareWebhooks
from domain.ids import JobId
from domain.jobs.job import Job


@frozen(kw_only=True, slots=False)
class UpkeepUseCases:
    # None where stored responses are kept for good.
    prune_keys: PruneKeys | None
    start_reconciliation: Guarded[..., Job]
    repair_discrepancies: Guarded[..., Job]
    list_reconciliations: Guarded[..., Sequence[Reconciliation | BrokenJob]]
    get_reconciliation: Callable[[Principal, JobId], Awaitable[Reconciliation]]
    read_discrepancies: Guarded[..., bytes]
    compare_charges: CompareCharges
    reset_shop: Callable[[Principal, str], Awaitable[int]]


def upkeep_use_cases(shared: Shared) -> UpkeepUseCases:
    ports, limits, uow, now = shared.ports, shared.limits, shared.uow, shared.ports.now
    needs = Scope.RECONCILE
    return UpkeepUseCases(
        prune_keys=None if limits.key_retention is None else PruneKeys(uow, limits.key_retention),
        start_reconciliation=Guarded(needs, StartReconciliation(uow, ports.new_id, now), by_shop=True),
        repair_discrepancies=Guarded(needs, RepairDiscrepancies(uow, ports.new_id, now), by_shop=True),
        list_reconciliations=Guarded(needs, ListReconciliations(uow), by_shop=True),
        get_reconciliation=Guarded(needs, GetReconciliation(uow), by_shop=True),
        read_discrepancies=Guarded(needs, ReadFile(uow), by_shop=True),
        compare_charges=CompareCharges(
            uow,
            ports.provider_ledger,
            RequestPayment(uow, now),
            shared.process_payment.until_done,
            RequestRefund(uow, now),
            shared.refund_order.until_done,
            timeout=limits.charge_timeout,
        ),
        reset_shop=Guarded(
            Scope.ADMIN,
            ResetShop(
                ports.reset_data,
                ports.empty_queues,
                ports.forget_caches,
                now,
                limits.namespace,
                limits.allow_reset,
            ),
        ),
    )


def run_reconciliation(shared: Shared) -> RunReconciliation:
    """Return the handler of the job."""
    ports, limits, uow, now = shared.ports, shared.limits, shared.uow, shared.ports.now
    reconcile = Reconcile(
        uow,
        ports.provider_ledger,
        now,
        limits.stuck_after,
        FindStuck(uow, now, limits.order_expiry, limits.stuck_after),
        FindUnrecorded(uow, ports.recent_orders, ports.accepted_changes, now),
        CompareWebhooks(uow),
        call_timeout=limits.charge_timeout,
    )
    repair = Repair(
        uow,
        ports.provider,
        shared.process_payment.until_done,
        shared.expire_orders,
        shared.persist_orders,
        RecordChanges(uow),
        timeout=limits.charge_timeout,
    )
    return RunReconciliation(uow, reconcile, repair, now)
