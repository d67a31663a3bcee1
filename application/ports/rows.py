"""Rows of files that others read and write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from attrs import field, frozen

from application.ports.feed import FeedItem, Position
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.orders.order import Order

Format = Literal["csv", "ndjson"]
NDJSON: Final[Format] = "ndjson"


@frozen(kw_only=True)
class RowError:
    """What is wrong with a row, in the words of a problem over HTTP. `pointer` is the JSON pointer of the field."""

    pointer: str | None = None
    code: str
    detail: str


@frozen(kw_only=True)
class RowResult:
    """What became of a row. `row` counts from 1, `line` is where it begins in the file.

    `id` is that of the product or of the order, if the row has led to one.
    """

    row: int
    line: int
    outcome: str
    id: Any = None
    errors: Sequence[RowError] = ()


Row = Order | Product | FeedItem | RowResult


class RowWriter(Protocol):
    """Writes rows in one format."""

    def head(self, what: str, position: Position) -> bytes:
        """What a file of these begins with: the position in the feed that it is as of, and for a table its columns."""

    def rows(self, what: str, rows: Sequence[Row]) -> bytes: ...


class UnreadableFile(DomainError):
    """A file of which no row can be read, or no further one: another format, other columns, a quote that never ends."""

    code = "unreadable_file"


@frozen(kw_only=True)
class ReadRow:
    """One row of a file: what it asks for, or what is wrong with it."""

    row: int
    line: int
    asks: Any = None
    errors: Sequence[RowError] = field(default=())


class RowParser(Protocol):
    """Reads the rows of one file, whose bytes come part by part. No row needs more memory than the longest may have."""

    def feed(self, part: bytes) -> Sequence[ReadRow]:
        """Return the rows that have come to their end. Raise `UnreadableFile`."""

    def end(self) -> Sequence[ReadRow]:
        """Return the last row, which need not have an end of line. Raise `UnreadableFile`."""


# Makes the parser of a file in one format, of what rows there are: products, stock.
NewRowParser = Callable[[str], RowParser]
RowParsers = Mapping[str, NewRowParser]
