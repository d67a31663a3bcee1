"""Rows of files that others have written: CSV and NDJSON, with the rules that the same JSON has in a request."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from attrs import define, field

from adapters.codecs.export_rows import unescaped
from application.ports.rows import ReadRow, RowError, RowParsers, UnreadableFile
from entrypoints.http.bodies.imports import ROWS
from entrypoints.http.field_errors import broken_rules, short
from entrypoints.http.json_shapes import decode
from entrypoints.http.refusals import FieldError, InvalidRequest, MalformedBody

# Bytes of one row: as many as a request may have by default.
LONGEST_ROW: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_AS_OF: Final = "as_of_position"

Line = tuple[int, bytes | None]


@define(eq=False)
class _Lines:
    """The lines of a file, each with its number. One that is too long is None, and is not kept in memory."""

    _rest: bytes = field(default=b"", init=False)
    _is_too_long: bool = field(default=False, init=False)
    _number: int = field(default=0, init=False)

    def feed(self, part: bytes) -> Iterator[Line]:
        *whole, self._rest = (self._rest + part).split(b"\n")
        for line in whole:
            yield self._line(line)
        if len(self._rest) > LONGEST_ROW:
            self._rest, self._is_too_long = b"", True

    def end(self) -> Iterator[Line]:
        if self._rest or self._is_too_long:
            rest, self._rest = self._rest, b""
            yield self._line(rest)

    def _line(self, line: bytes) -> Line:
        self._number += 1
        is_too_long, self._is_too_long = self._is_too_long or len(line) > LONGEST_ROW, False
        if is_too_long:
            return self._number, None
        if self._number > 1:
            return self._number, line
        if line.startswith(_UTF16):
            raise UnreadableFile("the file is UTF-16: save it as UTF-8")
        return self._number, line.removeprefix(_BOM)


@define(eq=False)
class _Rows:
    """Counts the rows, and decodes each of them into the shape that it must have."""

    _what: str
    _row: int = field(default=0, init=False)
    _decoder: msgspec.json.Decoder[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ROWS[self._what])

    def read(self, line: int, content: Callable[[], bytes]) -> ReadRow:
        """`content` returns the JSON of the row. It may raise `MalformedBody`."""
        self._row += 1
        try:
            shaped = decode(json := content(), self._decoder)
        except MalformedBody as error:
            return self._bad(line, RowError(code="malformed", detail=str(error)))
        except InvalidRequest as error:
            return self._bad(line, *map(_row_error, error.errors))
        try:
            return ReadRow(row=self._row, line=line, asks=shaped.to_row())
        except InvalidRequest as error:
            # The shape tells of the first error alone. The others are looked for.
            told = {each.pointer: each for each in (*error.errors, *broken_rules(json, self._decoder.type))}
            return self._bad(line, *map(_row_error, told.values()))

    def _bad(self, line: int, *errors: RowError) -> ReadRow:
        return ReadRow(row=self._row, line=line, errors=errors)


def _row_error(error: FieldError) -> RowError:
    return RowError(pointer=error.pointer, code=error.code, detail=error.detail)


@define(eq=False)
class NdjsonParser:
    """A JSON object in each line. The first one may be about the file, as in an export."""

    _what: str
    _lines: _Lines = field(factory=_Lines, init=False)
    _rows: _Rows = field(init=False)
    _has_begun: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = _Rows(self._what)

    def feed(self, part: bytes) -> Sequence[ReadRow]:
        return list(self._read(self._lines.feed(part)))

    def end(self) -> Sequence[ReadRow]:
        return list(self._read(self._lines.end()))

    def _read(self, lines: Iterator[Line]) -> Iterator[ReadRow]:
        for number, line in lines:
            if line is not None and not line.strip():
                continue
            is_first, self._has_begun = not self._has_begun, True
            if is_first and line is not None and self._is_head(line):
                continue
            yield self._rows.read(number, lambda: _expect_fits(line))  # noqa: B023 - called at once

    def _is_head(self, line: bytes) -> bool:
        if not line.lstrip().startswith(b"{"):
            raise UnreadableFile("the first line is no JSON object: NDJSON has one object in each line")
        try:
            head = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return False
        if not isinstance(head, dict) or _AS_OF not in head:
            return False
        if head.get("what") != self._what:
            raise UnreadableFile(f"the file is an export of {short(str(head.get('what')))}, not of {self._what}")
        return True


@define(eq=False)
class CsvParser:
    """CSV as in RFC 4180, in UTF-8. Its first line has the names of the columns; comments may stand before it."""

    _what: str
    _lines: _Lines = field(factory=_Lines, init=False)
    _rows: _Rows = field(init=False)
    # Whether a cell of each column is text. Anything else in it is JSON.
    _known: Mapping[str, bool] = field(init=False)
    _columns: Sequence[str] = field(default=(), init=False)
    # The lines of a record whose last quote has not come, the number of the first, and their bytes.
    _begun: list[bytes] = field(factory=list, init=False)
    _begun_at: int = field(default=0, init=False)
    _size: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = _Rows(self._what)
        fields = msgspec.structs.fields(ROWS[self._what])
        self._known = {each.encode_name: _is_text(each.type) for each in fields}

    def feed(self, part: bytes) -> Sequence[ReadRow]:
        return list(self._read(self._lines.feed(part)))

    def end(self) -> Sequence[ReadRow]:
        rows = list(self._read(self._lines.end()))
        if self._begun:
            raise UnreadableFile(f"line {self._begun_at}: a quotation mark begins a cell that never ends")
        return rows

    def _read(self, lines: Iterator[Line]) -> Iterator[ReadRow]:
        for at, record in self._records(lines):
            if not record.strip():
                continue
            if not self._columns:
                if not record.startswith(b"#"):
                    self._columns = self._head(record)
                continue
            if record.strip(b"\r,"):
                yield self._rows.read(at, lambda: self._as_json(record))  # noqa: B023 - called at once

    def _records(self, lines: Iterator[Line]) -> Iterator[tuple[int, bytes]]:
        for number, line in lines:
            if not self._begun:
                self._begun_at, self._size = number, 0
            self._size += len(line or b"") + 1
            if line is None or self._size > LONGEST_ROW:
                rule = f"a row has at most {LONGEST_ROW} bytes; is a quotation mark missing?"
                raise UnreadableFile(f"line {self._begun_at}: {rule}")
            # Quotes come in pairs. After an odd one, the end of the line is inside of a cell.
            if (line.count(b'"') % 2 == 1) != bool(self._begun):
                self._begun.append(line)
                continue
            record = b"\n".join([*self._begun, line])
            self._begun = []
            yield self._begun_at, record.removesuffix(b"\r")

    def _head(self, record: bytes) -> Sequence[str]:
        try:
            columns = _cells(record)
        except MalformedBody as error:
            raise UnreadableFile(f"the names of the columns can't be read: {error}") from None
        rule = f"; there are {', '.join(self._known)}, with commas between them"
        for name in columns:
            if name not in self._known:
                raise UnreadableFile(f"{short(name)!r} is no column of {self._what}{rule}")
            if columns.count(name) > 1:
                raise UnreadableFile(f"the column {name} is there twice")
        return columns

    def _as_json(self, record: bytes) -> bytes:
        cells = _cells(record)
        if len(cells) != len(self._columns):
            raise MalformedBody(f"It has {len(cells)} cells, and there are {len(self._columns)} columns.")
        named = zip(self._columns, cells, strict=True)
        row = {name: unescaped(cell) if self._known[name] else _value(cell) for name, cell in named if cell}
        return json.dumps(row).encode()


def _expect_fits(line: bytes | None) -> bytes:
    if line is None:
        raise MalformedBody(f"A row has at most {LONGEST_ROW} bytes.")
    return line


def _cells(record: bytes) -> list[str]:
    """Raise `MalformedBody`."""
    try:
        return next(csv.reader([record.decode()], strict=True))
    except UnicodeDecodeError:
        raise MalformedBody("The row is not UTF-8.") from None
    except csv.Error as error:
        raise MalformedBody(f"The row can't be read as CSV: {error}.") from None


def _value(cell: str) -> Any:
    """Return the value of a cell that is not text. One that can't be read stays text, and is refused as such."""
    # Some spreadsheets write true and false in capitals.
    text = cell.lower() if cell in {"TRUE", "FALSE"} else cell
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _is_text(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_text(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return any(map(_is_text, get_args(annotation)))
    return annotation is str


PARSERS: Final[RowParsers] = MappingProxyType({"csv": CsvParser, "ndjson": NdjsonParser})
