"""Runs of the consistency check: what is found is kept, and a repair does what was shown, wherever it stops."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from application.access.principal import SYSTEM, Forbidden, Principal, the_system
from application.access.scopes import ALL_SCOPES, ROLES, Role, Scope
from application.errors import Aborted, Unavailable
from application.jobs.kinds import AttemptEnded, Progress
from application.reconciliation.discrepancies import KINDS
from application.reconciliation.run import GONE
from application.reconciliation.runs import REPAIR_NEEDS, NothingToRepair, UnknownReconciliation
from domain.ids import JobId
from domain.jobs.job import Job, JobStatus
from domain.orders.order import Order
from tests.unit.builders import euros
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

ANA = the_system("ana")
STUCK = timedelta(minutes=10)


@pytest.fixture
def shop() -> Shop:
    """A shop without the check at the end: a discrepancy that is left for a person is still there."""
    return Shop()


async def charged_although_refunded(shop: Shop) -> Order:
    """An order whose money the provider still has: the repair gives it back."""
    order = await shop.paid((await shop.sells(price=100), 1))
    await shop.refund_order([await shop.refund_requested(order)])
    assert order.payment_id is not None
    shop.provider.lose(order.payment_id)
    await shop.provider.charge(order.payment_id, euros(100))
    shop.store.outbox.clear()
    return order


async def lost_request(shop: Shop) -> Order:
    """An order whose request the broker has lost, some time ago."""
    order, _ = await shop.payment_requested((await shop.sells(), 1))
    shop.store.outbox.clear()
    shop.clock.forward(STUCK)
    return order


async def run(shop: Shop, job: Job) -> Job:
    await shop.use_cases.run_jobs.run(job.id)
    return shop.store.jobs[job.id]


async def check(shop: Shop) -> Job:
    return await run(shop, await shop.use_cases.start_reconciliation(ANA))


async def told(shop: Shop, job: Job) -> list[dict[str, Any]]:
    kept = await shop.use_cases.get_reconciliation(ANA, job.id)
    assert kept.discrepancies is not None
    content = await shop.use_cases.read_discrepancies(ANA, kept.discrepancies, at=0)
    return [json.loads(line) for line in content.splitlines()]


def actions(shop: Shop, job: Job) -> list[tuple[str, str]]:
    return [
        (entry.action, entry.by.key_id) for entry in shop.store.audit if entry.subject == f"reconciliation {job.id}"
    ]


async def test_what_a_check_has_found_is_kept_and_nothing_is_changed(shop: Shop) -> None:
    order = await charged_although_refunded(shop)
    shop.store.products[order.lines[0].product_id].stock -= 1
    job = await check(shop)
    assert job.status is JobStatus.COMPLETED
    assert job.result == {
        "found": {**dict.fromkeys(KINDS, 0), "stock": 1, "charge": 1},
        "left": {**dict.fromkeys(KINDS, 0), "stock": 1, "charge": 1},
        "repairable": 1,
        "repaired": 0,
        "whole": True,
    }
    stock, charge = await told(shop, job)
    assert (stock["about"], stock["order_id"], stock["remedy"], stock["outcome"]) == ("stock", None, None, None)
    assert (charge["about"], charge["order_id"]) == ("charge", str(order.id))
    assert (charge["remedy"], charge["outcome"]) == ("refund the charge", None)
    assert shop.provider.taken == 100
    assert actions(shop, job) == [("reconciliation.started", "ana")]
    # The metrics and the console show it.
    upkeep = await shop.use_cases.see_upkeep(SYSTEM)
    assert (upkeep.discrepancies["stock"], upkeep.discrepancies["charge"]) == (1, 1)
    assert upkeep.checked_at == shop.clock()
    [listed] = await shop.use_cases.list_reconciliations(ANA, limit=9)
    assert (listed.job, listed.request.by.key_id) == (job, "ana")


async def test_a_check_that_saw_not_everything_says_so(shop: Shop) -> None:
    await shop.paid((await shop.sells(), 1))
    shop.store.outbox.clear()
    shop.provider.before.append(Unavailable("no answer"))
    job = await check(shop)
    assert job.result is not None
    assert (job.result["whole"], job.result["found"]["provider"]) == (False, 1)
    assert (await shop.use_cases.see_upkeep(SYSTEM)).checked_at is None


async def test_a_repair_does_what_was_shown_and_leaves_what_is_new_or_has_changed(shop: Shop) -> None:
    shown = await charged_although_refunded(shop)
    changed = await lost_request(shop)
    before = await check(shop)
    assert {each["order_id"] for each in await told(shop, before)} == {str(shown.id), str(changed.id)}

    # Somebody has the request sent again meanwhile, and another order is charged without need.
    await shop.use_cases.republish_request(ANA, changed.id)
    new = await charged_although_refunded(shop)
    shop.store.outbox.clear()
    shop.clock.forward(timedelta(seconds=1))
    shop.store.orders[changed.id].updated_at += timedelta(seconds=1)
    job = await run(shop, await shop.use_cases.repair_discrepancies(ANA, before.id))

    outcomes = {each["order_id"]: each["outcome"] for each in await told(shop, job)}
    assert outcomes[str(shown.id)] == "the money was given back"
    assert outcomes[str(new.id)] is None
    assert outcomes.get(str(changed.id)) is None
    assert shop.provider.taken == 100
    assert job.result is not None
    assert (job.result["repaired"], job.result["left"]["charge"]) == (1, 1)
    assert actions(shop, job) == [("reconciliation.started", "ana"), ("reconciliation.repaired", "ana")]
    assert (await shop.use_cases.see_upkeep(SYSTEM)).discrepancies["charge"] == 1
    # The next repair is of what this one shows.
    last = await run(shop, await shop.use_cases.repair_discrepancies(ANA, job.id))
    assert shop.provider.taken == 0
    assert last.result is not None
    assert sum(last.result["left"].values()) == 0
    with pytest.raises(NothingToRepair):
        await shop.use_cases.repair_discrepancies(ANA, last.id)


async def test_all_that_is_found_may_be_repaired_at_once(shop: Shop) -> None:
    order, lost = await charged_although_refunded(shop), await lost_request(shop)
    job = await run(shop, await shop.use_cases.start_reconciliation(ANA, repair_all=True))
    outcomes = {each["order_id"]: each["outcome"] for each in await told(shop, job)}
    assert outcomes == {str(order.id): "the money was given back", str(lost.id): "republished"}
    assert [entry.id.order_id for entry in await shop.outbox()] == [lost.id]
    assert shop.provider.taken == 0


# It keeps what it has found, and tells of the end.
@pytest.mark.parametrize("at", range(2))
@pytest.mark.parametrize("committed", [False, True])
async def test_a_repair_that_is_killed_is_done_once_and_told_of_in_whole(
    shop: Shop, *, at: int, committed: bool
) -> None:
    order = await charged_although_refunded(shop)
    shop.store.products[order.lines[0].product_id].stock -= 1
    before = await check(shop)
    job = await begun(shop, await shop.use_cases.repair_discrepancies(ANA, before.id))
    shop.unsteady.to_come.extend([*[None] * at, Trouble(Aborted("killed"), committed=committed)])
    handler = shop.use_cases.run_jobs.handlers["reconcile"]
    for _ in range(3):
        try:
            result = await handler(job, Progress())
            break
        except Aborted:
            continue
    else:
        raise AssertionError("it never ends")
    # And once more, as when nobody could record that it has ended.
    assert await handler(job, Progress()) == result

    assert shop.provider.taken == 0
    stock, charge = await told(shop, job)
    assert stock["outcome"] is None
    assert charge["outcome"] in {"the money was given back", GONE}
    assert (result or {})["repaired"] == 1
    assert [action for action, _ in actions(shop, job)].count("reconciliation.repaired") == 1


async def test_nothing_is_repaired_after_a_run_was_cancelled(shop: Shop) -> None:
    await charged_although_refunded(shop)
    before = await check(shop)
    job = await begun(shop, await shop.use_cases.repair_discrepancies(ANA, before.id))
    await shop.use_cases.cancel_job(ANA, job.id)
    with pytest.raises(AttemptEnded):
        await shop.use_cases.run_jobs.handlers["reconcile"](job, Progress())
    assert shop.provider.taken == 100
    assert (await shop.use_cases.get_reconciliation(ANA, job.id)).discrepancies is None


async def begun(shop: Shop, job: Job) -> Job:
    """The job as a worker has it that has just begun it."""
    async with shop.unit_of_work() as tx:
        found = (await tx.jobs.get_many({job.id}, lock=True))[job.id]
        found.begin(at=await tx.jobs.now())
        await tx.jobs.save_many([found])
    return found


async def test_a_repair_needs_the_scopes_of_what_it_does(shop: Shop) -> None:
    await charged_although_refunded(shop)
    job = await check(shop)
    for scope in REPAIR_NEEDS:
        by = Principal("somebody", scopes=ALL_SCOPES - {scope})
        with pytest.raises(Forbidden, match=str(scope)):
            await shop.use_cases.repair_discrepancies(by, job.id)
        with pytest.raises(Forbidden, match=str(scope)):
            await shop.use_cases.start_reconciliation(by, repair_all=True)
    assert len(shop.store.jobs) == 1
    # The person on duty looks, and repairs nothing.
    operator = Principal("ana", scopes=ROLES[Role.OPERATOR])
    await shop.use_cases.start_reconciliation(operator)
    with pytest.raises(Forbidden, match=Scope.ORDERS_WRITE):
        await shop.use_cases.repair_discrepancies(operator, job.id)


async def test_what_is_no_run_or_was_removed_is_not_repaired(shop: Shop) -> None:
    nothing = JobId(UUID(int=1))
    with pytest.raises(UnknownReconciliation):
        await shop.use_cases.get_reconciliation(ANA, nothing)
    with pytest.raises(UnknownReconciliation):
        await shop.use_cases.repair_discrepancies(ANA, nothing)
    message = await shop.use_cases.post_message(ANA, "hello")
    with pytest.raises(UnknownReconciliation):
        await shop.use_cases.get_reconciliation(ANA, message.id)
    await charged_although_refunded(shop)
    waiting = await shop.use_cases.start_reconciliation(ANA)
    with pytest.raises(NothingToRepair):
        await shop.use_cases.repair_discrepancies(ANA, waiting.id)
    await run(shop, waiting)
    job = await shop.use_cases.repair_discrepancies(ANA, waiting.id)
    # After a day, what was found is removed.
    shop.store.files.clear()
    with pytest.raises(UnknownReconciliation, match="removed"):
        await shop.use_cases.repair_discrepancies(ANA, waiting.id)
    ended = await run(shop, job)
    assert ended.status is JobStatus.DISCARDED
    assert "was removed" in (ended.error or "")
    assert shop.provider.taken == 100
