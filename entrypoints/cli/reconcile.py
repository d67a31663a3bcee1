"""`holdfast reconcile`: the consistency check, and the repair of what it finds."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from application.reconciliation.discrepancies import Discrepancy
from entrypoints.cli.common import CommandError, Data, command_settings, tell, with_use_cases

if TYPE_CHECKING:
    from application.assembly import UseCases

_LINE = "{:12} {:36}  {}"


def reconcile(
    *,
    repair: Annotated[
        bool, Parameter(negative="", help="Repair what is safe to repair, and print what is left.")
    ] = False,
    data: Data = None,
) -> None:
    settings = command_settings(data=data)

    async def work(use_cases: "UseCases") -> None:
        found = await use_cases.reconcile()
        outcomes = await use_cases.repair(found) if repair else [None] * len(found)
        if found:
            tell(_LINE.format("ABOUT", "ORDER", "WHAT"))
        for discrepancy, done in zip(found, outcomes, strict=True):
            tell(_line(discrepancy, done, repair=repair))
        left = outcomes.count(None)
        if left and repair:
            raise CommandError(f"{left} of {len(found)} discrepancies are left for a person to decide")
        if left:
            raise CommandError(f"{left} discrepancies; `holdfast reconcile --repair` repairs what is safe to repair")
        tell(f"{len(found)} discrepancies, all repaired" if found else "everything agrees")

    with_use_cases(settings, work)


def _line(discrepancy: Discrepancy, done: str | None, *, repair: bool) -> str:
    line = _LINE.format(discrepancy.about, str(discrepancy.order_id or "-"), discrepancy.what)
    return f"{line} -> {f'repaired: {done}' if done else 'left'}" if repair else line
