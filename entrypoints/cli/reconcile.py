"""`holdfast reconcile`: whether the books agree, and what is done where they don't."""

from typing import Annotated

from cyclopts import Parameter

from application.reconciliation.discrepancies import Discrepancy
from entrypoints.cli.common import CommandError, Data, command_settings, with_tables
from entrypoints.container import Container

_LINE = "{:12} {:36}  {}"


def reconcile(
    *,
    repair: Annotated[bool, Parameter(negative="", help="Heal what is safe to heal, and say what is left.")] = False,
    data: Data = None,
) -> None:
    """Compare stock, orders, payments, the provider's record, the outbox and dead letters; exit 1 if they disagree."""

    async def work(container: Container) -> None:
        use_cases = container.use_cases()
        found = await use_cases.reconcile()
        outcomes = await use_cases.repair(found) if repair else [None] * len(found)
        if found:
            print(_LINE.format("ABOUT", "ORDER", "WHAT"))
        for discrepancy, done in zip(found, outcomes, strict=True):
            print(_line(discrepancy, done, repair=repair))
        left = outcomes.count(None)
        if left and repair:
            raise CommandError(f"{left} of {len(found)} discrepancies are left for a person to decide")
        if left:
            raise CommandError(f"{left} discrepancies; `holdfast reconcile --repair` heals what is safe to heal")
        print(f"{len(found)} discrepancies, all healed" if found else "everything agrees")

    with_tables(command_settings(data=data), work)


def _line(discrepancy: Discrepancy, done: str | None, *, repair: bool) -> str:
    line = _LINE.format(discrepancy.about, str(discrepancy.order_id or "-"), discrepancy.what)
    return f"{line} -> {f'healed: {done}' if done else 'left'}" if repair else line
