"""`holdfast restored`: once, after the database was restored from a backup."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, Data, command_settings, with_engine, with_use_cases
from entrypoints.cli.output import tell

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from application.assembly.use_cases import UseCases
    from application.reconciliation.after_restore import ComparedCharge


def restored(
    *,
    since: Annotated[datetime, Parameter(help="When the backup was taken, as in 2026-11-29T10:00:00+00:00.")],
    data: Data = None,
) -> None:
    if since.tzinfo is None:
        raise CommandError(f"--since needs its offset from UTC, as in {since.isoformat()}+00:00")
    if since > datetime.now(UTC):
        raise CommandError(f"--since {since.isoformat()} is in the future: no charge would be compared")
    settings = command_settings(data=data)

    async def compare(use_cases: "UseCases") -> None:
        compared = await use_cases.compare_charges(since)
        for each in compared:
            tell(_line(each))
        done = sum(each.status is not None for each in compared)
        tell(f"{done} charges recorded again, {len(compared) - done} left for a person to decide")

    async def begin(engine: "AsyncEngine") -> None:
        from adapters.sql.lineage import SqlLineage

        await SqlLineage(engine).begin()
        tell("programs may be started")

    with_use_cases(settings, compare, with_ledger=True)
    with_engine(settings, begin)


def _line(compared: "ComparedCharge") -> str:
    charge = compared.charge
    money = f"{charge.amount.minor} minor units of {charge.amount.currency}, taken {charge.at:%Y-%m-%d %H:%M:%S} UTC"
    if charge.refunded:
        money += " and given back"
    if compared.status is not None:
        return f"order {compared.order_id}: {money}: it is {compared.status.value} again"
    if compared.order_id is None:
        from application.reconciliation.after_restore import MOST_ATTEMPTS

        lost = "its order is lost, unless its customer places it again under its key"
        return f"charge {charge.key}: {money}: {lost}, or payments of it failed {MOST_ATTEMPTS} times before"
    return f"order {compared.order_id}: {money}, under {charge.key}: it can't be paid any more"
