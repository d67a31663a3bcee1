"""`holdfast reconcile`: the consistency check, and the repair of what it finds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from application.reconciliation.discrepancies import Discrepancy, counted, saw_everything
from entrypoints.cli.common import CommandError, Data, command_settings, tell, with_container

if TYPE_CHECKING:
    from entrypoints.container import Container

_LINE = "{:12} {:36}  {}"


def reconcile(
    *,
    repair: Annotated[
        bool, Parameter(negative="", help="Repair what is safe to repair, and print what is left.")
    ] = False,
    data: Data = None,
) -> None:
    settings = command_settings(data=data)

    async def work(container: "Container") -> None:
        use_cases = container.use_cases()
        found = await use_cases.reconcile()
        outcomes = await use_cases.repair(found) if repair else [None] * len(found)
        left = [each for each, done in zip(found, outcomes, strict=True) if done is None]
        await container.consistency_checks().note(counted(left), whole=saw_everything(found))
        if found:
            tell(_LINE.format("ABOUT", "ORDER", "WHAT"))
        for discrepancy, done in zip(found, outcomes, strict=True):
            tell(_line(discrepancy, done, repair=repair))
        if None in outcomes:
            raise CommandError(what_is_left(found, outcomes, repair=repair))
        tell(f"{len(found)} discrepancies, all repaired" if found else "everything agrees")

    with_container(settings, work, with_ledger=True)


def what_is_left(found: Sequence[Discrepancy], outcomes: Sequence[str | None], *, repair: bool) -> str:
    left = outcomes.count(None)
    if repair:
        return f"{left} of {len(found)} discrepancies are left for a person to decide"
    repairable = sum(each.remedy is not None for each in found)
    if not repairable:
        return f"{left} discrepancies, all for a person to decide: no repair of them is safe"
    return f"{left} discrepancies; `holdfast reconcile --repair` can repair {repairable} of them"


def _line(discrepancy: Discrepancy, done: str | None, *, repair: bool) -> str:
    line = _LINE.format(discrepancy.about, str(discrepancy.order_id or "-"), discrepancy.what)
    return f"{line} -> {f'repaired: {done}' if done else 'left'}" if repair else line
