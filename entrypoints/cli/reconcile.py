"""`holdfast reconcile`: the consistency check, and the repair of what it finds, as `POST /reconciliations` runs it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, Data, command_settings, with_use_cases
from entrypoints.cli.output import tell
from entrypoints.ndjson import rows_in

if TYPE_CHECKING:
    from application.assembly.use_cases import UseCases
    from application.reconciliation.start import Reconciliation
    from domain.ids import JobId

_LINE = "{:12} {:36}  {}"
# Seconds between two looks at a run that a worker has taken.
_PAUSE: Final = 0.2


def reconcile(
    *,
    repair: Annotated[
        bool, Parameter(negative="", help="Repair what is safe to repair, and print what is left.")
    ] = False,
    data: Data = None,
) -> None:
    async def work(use_cases: "UseCases") -> None:
        from application.access.principal import the_system

        job = await use_cases.start_reconciliation(the_system("holdfast reconcile"), repair_all=repair)
        run = await _ended(use_cases, job.id)
        if run.discrepancies is None or run.result is None:
            raise CommandError(run.job.error or f"the run was ended by somebody else: it is {run.job.status.value}")
        result = run.result
        if run.discrepancies.size:
            tell(_LINE.format("ABOUT", "ORDER", "WHAT"))
        async for finding in _findings(use_cases, run):
            tell(_line(finding, repair=repair))
        found, left = sum(result["found"].values()), sum(result["left"].values())
        if left:
            raise CommandError(what_is_left(found, left, result["repairable"], repair=repair))
        tell(f"{found} discrepancies, all repaired" if found else "everything agrees")

    with_use_cases(command_settings(data=data), work, with_ledger=True)


async def _ended(use_cases: "UseCases", id_: "JobId") -> "Reconciliation":
    """Run it here, unless a worker has taken it. Raise what ends the attempt: nobody waits for a server here."""
    from application.access.principal import SYSTEM
    from domain.errors import IllegalTransition
    from domain.jobs.job import FINISHED

    while True:
        try:
            attempt = await use_cases.run_jobs.run(id_)
        except asyncio.CancelledError:
            # Whoever interrupts the command does not want it done by another process.
            await use_cases.cancel_job(SYSTEM, id_)
            raise
        run = await use_cases.get_reconciliation(SYSTEM, id_)
        if run.job.status in FINISHED:
            return run
        if attempt is not None and attempt.error is not None:
            try:
                await use_cases.cancel_job(SYSTEM, id_)
            except IllegalTransition:
                # A worker was quicker, and had more luck.
                return await use_cases.get_reconciliation(SYSTEM, id_)
            raise attempt.error
        await asyncio.sleep(_PAUSE)


async def _findings(use_cases: "UseCases", run: "Reconciliation") -> AsyncIterator[dict[str, Any]]:
    from application.access.principal import SYSTEM

    if file := run.discrepancies:
        async for finding in rows_in(lambda at: use_cases.read_discrepancies(SYSTEM, file, at=at)):
            yield finding


def what_is_left(found: int, left: int, repairable: int, *, repair: bool) -> str:
    if repair:
        return f"{left} of {found} discrepancies are left for a person to decide"
    if not repairable:
        return f"{left} discrepancies, all for a person to decide: no repair of them is safe"
    return f"{left} discrepancies; `holdfast reconcile --repair` can repair {repairable} of them"


def _line(finding: dict[str, Any], *, repair: bool) -> str:
    line = _LINE.format(finding["about"], finding["order_id"] or "-", finding["what"])
    done = finding["outcome"]
    return f"{line} -> {f'repaired: {done}' if done else 'left'}" if repair else line
