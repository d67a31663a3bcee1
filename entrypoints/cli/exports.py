"""`holdfast export`: orders, products or events as CSV or NDJSON, as `POST /exports` writes them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, Data, command_settings, with_use_cases
from entrypoints.cli.output import say, write

if TYPE_CHECKING:
    from application.assembly.use_cases import UseCases
    from application.exports.request import ExportRequest

# As `application.exports.request` names them, whose import no help waits for; a test compares the two.
What = Literal["orders", "products", "events"]
Format = Literal["csv", "ndjson"]


def export(
    what: Annotated[What, Parameter(help="What is exported.")],
    /,
    *,
    format: Annotated[Format, Parameter(help="How it is written.")] = "ndjson",  # noqa: A002 - the option is --format
    filter: Annotated[  # noqa: A002 - the option is --filter
        str, Parameter(help='What it has, as in \'{"status": ["PAID"]}\': the `filter` of POST /exports.')
    ] = "{}",
    output: Annotated[Path | None, Parameter(help="File to be written. Default: standard output.")] = None,
    data: Data = None,
) -> None:
    wanted = _request(what, format, filter)

    async def work(use_cases: "UseCases") -> None:
        if output is None:
            async for part in _content(use_cases, wanted):
                write(part)
        else:
            await _write_file(output, _content(use_cases, wanted))
            say(f"{output} is written")

    with_use_cases(command_settings(data=data), work)


def _request(what: What, format_: Format, text: str) -> "ExportRequest":
    import msgspec

    from domain.errors import DomainError
    from entrypoints.http.bodies.exports import ExportBody, ExportFilterBody
    from entrypoints.http.refusals import InvalidRequest

    try:
        only = msgspec.json.decode(text.encode(), type=ExportFilterBody)
        request = ExportBody(what=what, format=format_, filter=only).to_request()
        request.expect_valid()
    except (msgspec.DecodeError, RecursionError, InvalidRequest, DomainError) as error:
        raise CommandError(f"--filter: {error}") from None
    return request


async def _content(use_cases: "UseCases", wanted: "ExportRequest") -> AsyncIterator[bytes]:
    """Page by page, so that an export of any size needs little memory."""
    from adapters.codecs.export_rows import WRITERS
    from application.exports.pages import BEGINNING

    read, writer = use_cases.read_export_pages, WRITERS[wanted.format]
    position, place = await read.newest(), BEGINNING
    yield writer.head(wanted.what, position)
    while place is not None:
        page = await read(wanted, place, until=position)
        yield writer.rows(wanted.what, page.rows)
        place = page.following


async def _write_file(path: Path, content: AsyncIterator[bytes]) -> None:
    """Write it beside the file, and put it in its place when it is whole."""
    try:
        file = _file_at(path)
        if file is None:
            await _write(path, content)
            return
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            await _write(unfinished, content)
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}") from None


def _file_at(path: Path) -> Path | None:
    """Return the file to replace: a link stays. None for a pipe or a device, which stays, too, and is written to."""
    return None if path.exists() and not path.is_file() else path.resolve()


async def _write(path: Path, content: AsyncIterator[bytes]) -> None:
    with path.open("wb") as file:
        async for part in content:
            file.write(part)
