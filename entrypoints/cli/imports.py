"""`holdfast import`: products, changes of stock or orders from a file, as `POST /imports` takes it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, Data, command_settings, with_use_cases
from entrypoints.cli.output import say, tell
from entrypoints.ndjson import rows_in
from entrypoints.settings import InvalidSettings

if TYPE_CHECKING:
    from application.assembly.use_cases import UseCases
    from application.imports.get_import import Import
    from domain.ids import JobId

# As `application.imports.request` names them, whose import no help waits for; a test compares the two.
What = Literal["products", "stock", "orders"]
Format = Literal["csv", "ndjson"]
OnError = Literal["stop", "skip"]

_PART = 64 * 1024
_PAUSE = 0.5
_LINE = "{:>8}  {:>8}  {:20}  {}"


def import_file(
    what: Annotated[What, Parameter(help="What its rows are.")],
    file: Annotated[Path, Parameter(help="The file.")],
    /,
    *,
    format: Annotated[  # noqa: A002 - the option is --format
        Format | None, Parameter(help="How it is written. Default: csv if its name ends so, or else ndjson.")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Try every row, and change nothing.")] = False,
    on_error: Annotated[OnError, Parameter(help="Do nothing if a row is bad, or skip it and do the others.")] = "stop",
    data: Data = None,
) -> None:
    settings = command_settings(data=data)
    written = format or ("csv" if file.suffix.lower() == ".csv" else "ndjson")
    try:
        content = file.open("rb")
    except OSError as error:
        raise InvalidSettings(f"{file} can't be read: {error.strerror}") from None

    async def work(use_cases: "UseCases") -> None:
        from application.access.principal import the_system
        from application.imports.request import ImportRequest
        from application.ports.rows import UnreadableFile

        by = the_system("holdfast import")
        wanted = ImportRequest(what=what, format=written, dry_run=dry_run, on_error=on_error)
        try:
            job = await use_cases.start_import(by, wanted, _parts(file, content))
        except UnreadableFile as error:
            raise InvalidSettings(f"{file}: {error}") from None
        await _report(use_cases, await _ended(use_cases, job.id), file)

    with content:
        with_use_cases(settings, work)


async def _parts(file: Path, content: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while part := content.read(_PART):
            yield part
    except OSError as error:
        # A folder can be opened.
        raise InvalidSettings(f"{file} can't be read: {error.strerror}") from None


async def _ended(use_cases: "UseCases", id_: "JobId") -> "Import":
    """Do the job here, unless a worker has taken it, and tell how far it is. If this process dies, a worker goes on."""
    from application.access.principal import SYSTEM
    from domain.jobs.job import FINISHED

    told = 0
    running = asyncio.create_task(use_cases.run_jobs.run(id_))
    try:
        while True:
            await asyncio.wait([running], timeout=_PAUSE)
            found: Import = await use_cases.get_import(SYSTEM, id_)
            if found.job.status in FINISHED:
                return found
            if running.done():
                running = asyncio.create_task(use_cases.run_jobs.run(id_))
                await asyncio.sleep(_PAUSE)
            if found.job.done != told:
                told = found.job.done
                say(f"{told} rows" if found.job.total is None else f"{told} of {found.job.total} rows")
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _report(use_cases: "UseCases", found: "Import", file: Path) -> None:
    from application.access.principal import SYSTEM
    from application.imports.run_import import BAD, counts_in

    if found.results is None:
        raise InvalidSettings(f"{file}: {found.job.error or found.job.status.value}")
    outcomes = counts_in(found.results)["outcomes"]
    if outcomes.get(BAD):
        tell(_LINE.format("ROW", "LINE", "FIELD", "WHAT IS WRONG"))
        results = found.results
        async for result in rows_in(lambda at: use_cases.read_results(SYSTEM, results, at=at)):
            for error in result.get("errors", ()):
                tell(_LINE.format(result["row"], result["line"], error.get("pointer", "-"), error["detail"]))
    counts = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(outcomes.items()))
    say(f"{file}: {counts or 'no rows'}")
    if outcomes.get(BAD):
        raise CommandError("nothing was changed" if not found.is_applied else "the bad rows were left out")
