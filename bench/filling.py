"""`./dev bench fill`: fills your own database with orders."""

from typing import Annotated, Final

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.sql.core.engine import create_engine
from bench.growth import fill as fill_database
from entrypoints.cli.common import CommandError, Data, command_settings

_STATEMENT_SECONDS: Final = 600.0


def fill(*, orders: Annotated[int, Parameter(validator=Number(gte=1))] = 1_000_000, data: Data = None) -> None:
    """Add orders, as years of business leave them, to the migrated PostgreSQL that DATABASE_URL names."""
    settings = command_settings(data=data)
    if not settings.database_url:
        raise CommandError("DATABASE_URL is not set; set it to a PostgreSQL database, the only kind that can be filled")

    async def run(bar: Progress) -> None:
        engine = create_engine(settings.database_url, statement_timeout=_STATEMENT_SECONDS)
        task = bar.add_task("orders", total=orders)
        try:
            async with open_file_ledger(settings.ledger) as ledger:
                await fill_database(engine, ledger, count=orders, progress=lambda done: bar.advance(task, done))
        finally:
            await engine.dispose()

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn()) as bar:
        uvloop.run(run(bar))
