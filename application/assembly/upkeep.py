"""What finds out whether all is well, and puts it right."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.admin.reset_shop import ResetShop
from application.assembly.shared import Shared
from application.execution.prune_keys import PruneKeys
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.reconciliation.after_restore import CompareCharges
from application.reconciliation.find_stuck import FindStuck
from application.reconciliation.find_unrecorded import FindUnrecorded
from application.reconciliation.reconcile import Reconcile
from application.reconciliation.repair import Repair
from application.reconciliation.webhooks import CompareWebhooks


@frozen(kw_only=True, slots=False)
class UpkeepUseCases:
    # None where stored responses are kept for good.
    prune_keys: PruneKeys | None
    reconcile: Reconcile
    repair: Repair
    compare_charges: CompareCharges
    reset_shop: Callable[[Principal, str], Awaitable[int]]


def upkeep_use_cases(shared: Shared) -> UpkeepUseCases:
    ports, limits, uow, now = shared.ports, shared.limits, shared.uow, shared.ports.now
    find_stuck = FindStuck(uow, now, limits.order_expiry, limits.stuck_after)
    find_unrecorded = FindUnrecorded(uow, ports.recent_orders, now)
    return UpkeepUseCases(
        prune_keys=None if limits.key_retention is None else PruneKeys(uow, limits.key_retention),
        reconcile=Reconcile(
            uow,
            ports.provider_ledger,
            now,
            limits.stuck_after,
            find_stuck,
            find_unrecorded,
            CompareWebhooks(uow),
        ),
        repair=Repair(
            uow, ports.provider, shared.process_payment.until_done, shared.expire_orders, shared.persist_orders
        ),
        compare_charges=CompareCharges(
            uow,
            ports.provider_ledger,
            RequestPayment(uow, now),
            shared.process_payment.until_done,
            RequestRefund(uow, now),
            shared.refund_order.until_done,
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
