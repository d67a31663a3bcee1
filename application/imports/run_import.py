import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES
from application.execution.working_for import WorkingFor
from application.imports.request import ImportRequest
from application.jobs.kinds import Progress
from application.ports.files import StoredFile
from application.ports.persistence import Transaction, UnitOfWork
from application.ports.rows import ReadRow, RowError, RowParsers, RowResult, RowWriter, UnreadableFile
from domain.errors import DomainError, pointer_of
from domain.jobs.job import Job

# The names of the job's files: what was found when every row was tried, and what was done.
TRIAL: Final = "trial"
RESULTS: Final = "results"
BAD: Final = "bad"
# The most rows of one file: what must not be named twice in it is kept in memory.
MOST_ROWS: Final = 1_000_000
# The bytes that are parsed at once, which takes some milliseconds.
_PIECE: Final = 8 * 1024
_WOULD: Final = "would_be_{}"


@frozen
class Done:
    """What a row has led to, and the id of the product or of the order."""

    outcome: str
    id: Any = None


class Asks(Protocol):
    """What a row asks for."""

    @property
    def names(self) -> Sequence[tuple[str, object]]:
        """The fields whose values no other row of the file may have, each with its value."""


class ApplyRows(Protocol):
    """Does what rows ask for, in a transaction of the caller. A row that is refused is refused alone."""

    async def __call__(self, tx: Transaction, by: Principal, rows: Sequence[Any]) -> Sequence[Done | DomainError]: ...


class _RolledBack(Exception):
    """Ends a transaction that was a trial."""


@frozen
class RunImport:
    """The handler of the job: try every row, and then do what they ask for, batch by batch.

    What has become of a batch is written into a file of the job, in the transaction that does it. So another attempt
    goes on behind what is done, and of two attempts at once one goes on: no row is done twice, and none is left out.

    With `on_error=stop`, nothing is done if one row is bad. A row that has become bad since it was tried, because the
    shop goes on meanwhile, is told, and the others are done.
    """

    _unit_of_work: UnitOfWork
    _parsers: RowParsers
    # By what is imported.
    _apply: Mapping[str, ApplyRows]
    _results: RowWriter
    _batch: int = field(kw_only=True)
    _most_rows: int = field(default=MOST_ROWS, kw_only=True)

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any] | None:
        wanted = ImportRequest.of(job.arguments)
        request_id = job.arguments["by"]["request_id"]
        with WorkingFor([request_id] if request_id else []):
            total = await self._try(job, wanted, progress)
            if total is not None:
                progress.total = total
                await self._pass(job, RESULTS, progress)
        async with self._unit_of_work() as tx:
            # It is not needed any more, whatever attempt comes now.
            await tx.files.remove(job.id, job.arguments["upload"])
            done = await tx.files.get(job.id, RESULTS if total is not None else TRIAL)
        return {"applied": total is not None, **counts_in(done)}

    async def _try(self, job: Job, wanted: ImportRequest, progress: Progress) -> int | None:
        """Return how many rows there are, or None if nothing is to be done. Raise `UnreadableFile`."""
        async with self._unit_of_work.reading() as tx:
            begun = await tx.files.get(job.id, RESULTS)
        if begun is not None:
            # An earlier attempt has tried them, and begun.
            total: int = begun.state["total"]
            return total
        if wanted.is_tried_first:
            tried = await self._pass(job, TRIAL, progress)
            if wanted.dry_run or tried.get(BAD):
                return None
            total = tried.total()
        else:
            # Only whether the file can be read to its end.
            total = 0
            async for batch in self._batches(job, wanted):
                total += len(batch)
        await self._begin(job, total)
        return total

    async def _begin(self, job: Job, total: int) -> None:
        async with self._unit_of_work() as tx:
            await tx.files.append(StoredFile(job_id=job.id, name=RESULTS), b"", {"total": total, "rows": 0})

    async def _pass(self, job: Job, name: str, progress: Progress) -> "Counter[str]":
        wanted = ImportRequest.of(job.arguments)
        async with self._unit_of_work.reading() as tx:
            file = await tx.files.get(job.id, name) or StoredFile(job_id=job.id, name=name, state={"rows": 0})
        if not file.state.get("whole"):
            async for batch in self._batches(job, wanted):
                progress.done = file.state["rows"]
                rest = [row for row in batch if row.row > file.state["rows"]]
                if rest:
                    file = await self._do(job, wanted, file, rest)
            async with self._unit_of_work() as tx:
                file = await tx.files.append(file, b"", {**file.state, "whole": True})
        progress.done = file.state["rows"]
        return Counter(file.state.get("outcomes", {}))

    async def _do(self, job: Job, wanted: ImportRequest, file: StoredFile, rows: Sequence[ReadRow]) -> StoredFile:
        apply = self._apply[wanted.what]
        by = Principal(job.arguments["by"]["key_id"], scopes=ALL_SCOPES)
        good = [row for row in rows if not row.errors]
        outcomes: Sequence[Done | DomainError] = ()
        if file.name == RESULTS:
            async with self._unit_of_work() as tx:
                outcomes = await apply(tx, by, [row.asks for row in good])
                return await self._note(tx, file, _results(rows, outcomes))
        with suppress(_RolledBack):
            async with self._unit_of_work() as tx:
                outcomes = await apply(tx, by, [row.asks for row in good])
                raise _RolledBack
        async with self._unit_of_work() as tx:
            return await self._note(tx, file, [_tried(result) for result in _results(rows, outcomes)])

    async def _note(self, tx: Transaction, file: StoredFile, results: Sequence[RowResult]) -> StoredFile:
        outcomes = Counter(file.state.get("outcomes", {})) + Counter(result.outcome for result in results)
        state = {**file.state, "rows": results[-1].row, "outcomes": dict(outcomes)}
        return await tx.files.append(file, self._results.rows("results", results), state)

    async def _batches(self, job: Job, wanted: ImportRequest) -> AsyncIterator[Sequence[ReadRow]]:
        """Read the file from its beginning, so that what its rows have named is known."""
        waiting: list[ReadRow] = []
        named: set[int] = set()
        async for rows in self._parsed(job, wanted):
            waiting += [_unless_named(row, named) for row in rows]
            while len(waiting) >= self._batch:
                yield waiting[: self._batch]
                waiting = waiting[self._batch :]
        if waiting:
            yield waiting

    async def _parsed(self, job: Job, wanted: ImportRequest) -> AsyncIterator[Sequence[ReadRow]]:
        parser, at, size = self._parsers[wanted.format](wanted.what), 0, job.arguments["size"]
        while at < size:
            async with self._unit_of_work.reading() as tx:
                part = await tx.files.read(job.id, job.arguments["upload"], at=at)
            if not part:
                raise UnreadableFile("the file was removed before it was imported: send it again")
            at += len(part)
            for start in range(0, len(part), _PIECE):
                yield self._counted(parser.feed(part[start : start + _PIECE]))
                # Others wait for this process, too, such as clients of the API that it may serve.
                await asyncio.sleep(0)
        yield self._counted(parser.end())

    def _counted(self, rows: Sequence[ReadRow]) -> Sequence[ReadRow]:
        if rows and rows[-1].row > self._most_rows:
            raise UnreadableFile(f"the file has more than {self._most_rows} rows: import it in several files")
        return rows


def counts_in(file: StoredFile | None) -> dict[str, Any]:
    """How many rows the file of results has, of which so many have each outcome."""
    state = {} if file is None else file.state
    return {"rows": state.get("rows", 0), "outcomes": state.get("outcomes", {})}


def errors_of(error: DomainError) -> Sequence[RowError]:
    return [
        RowError(pointer=None if each.field is None else pointer_of(each.field), code=each.code, detail=str(each))
        for each in (error, *error.others)
    ]


def _results(rows: Sequence[ReadRow], outcomes: Sequence[Done | DomainError]) -> list[RowResult]:
    told, results = iter(outcomes), []
    for row in rows:
        outcome = None if row.errors else next(told)
        if isinstance(outcome, Done):
            results.append(RowResult(row=row.row, line=row.line, outcome=outcome.outcome, id=outcome.id))
        else:
            errors = row.errors if outcome is None else errors_of(outcome)
            results.append(RowResult(row=row.row, line=row.line, outcome=BAD, errors=errors))
    return results


def _tried(result: RowResult) -> RowResult:
    """Nothing has become of the row, so a new product has no id yet."""
    return result if result.outcome == BAD else evolve(result, outcome=_WOULD.format(result.outcome), id=None)


def _unless_named(row: ReadRow, named: set[int]) -> ReadRow:
    if row.errors:
        return row
    asks: Asks = row.asks
    # Numbers of 64 bits in place of the names, which may be long. That two names of a million have the same number
    # happens once in ten million files.
    numbers = [(name, hash((name, value))) for name, value in asks.names]
    twice = [name for name, number in numbers if number in named]
    named.update(number for _, number in numbers)
    if not twice:
        return row
    errors = [RowError(pointer=f"/{name}", code="repeated", detail="an earlier row has the same") for name in twice]
    return evolve(row, asks=None, errors=errors)
