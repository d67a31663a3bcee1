"""Rows are the same, however the bytes of their file are divided into parts."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.codecs.export_rows import escaped, unescaped
from application.ports.rows import ReadRow, UnreadableFile
from entrypoints.http.row_parsers import LONGEST_ROW, PARSERS

TABLE = (
    "\ufeff# comment\r\nsku,name,price,currency\r\n"
    'A,"größer, ""und""\r\nlänger",5,EUR\r\n\r\nB,x,-1,EUR\r\nC,"a"b,1,EUR\r\nD,y,7,EUR'
).encode()
LINES = '\ufeff{"as_of_position": 1, "what": "products"}\n{"sku": "A", "price": 5}\r\n\n{"sku": 1}\n{"sku"'.encode()


def read(format_: str, content: bytes, cuts: Sequence[int] = ()) -> list[ReadRow]:
    parser = PARSERS[format_]("products")
    places = [0, *sorted(cuts), len(content)]
    rows = [row for start, end in itertools.pairwise(places) for row in parser.feed(content[start:end])]
    return [*rows, *parser.end()]


def test_a_table_and_lines_are_read() -> None:
    table, lines = read("csv", TABLE), read("ndjson", LINES)
    assert [(row.line, [error.code for error in row.errors]) for row in table] == [
        (3, []),
        (6, ["out_of_range"]),
        (7, ["malformed"]),
        (8, []),
    ]
    assert table[0].asks.edit.name == 'größer, "und"\r\nlänger'
    assert [(row.line, [error.code for error in row.errors]) for row in lines] == [
        (2, []),
        (4, ["wrong_type"]),
        (5, ["malformed"]),
    ]


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(0, len(TABLE)), max_size=20))
def test_no_division_of_a_file_changes_its_rows(cuts: list[int]) -> None:
    assert read("csv", TABLE, cuts) == read("csv", TABLE)
    assert read("ndjson", LINES, [cut * len(LINES) // len(TABLE) for cut in cuts]) == read("ndjson", LINES)


def test_a_line_of_any_length_takes_no_memory() -> None:
    parser = PARSERS["ndjson"]("products")
    for _ in range(100):
        assert parser.feed(b"x" * LONGEST_ROW) == []
        assert len(parser._lines._rest) <= LONGEST_ROW  # type: ignore[attr-defined]  # noqa: SLF001 - what it keeps
    [row] = parser.end()
    assert [error.code for error in row.errors] == ["malformed"]


def test_many_short_lines_inside_of_a_cell_are_bounded() -> None:
    parser = PARSERS["csv"]("products")
    with pytest.raises(UnreadableFile, match="line 2: a row has at most"):
        parser.feed(b'sku,name\nA,"' + b"\n" * 2 * LONGEST_ROW)


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="'=+-@\t\rab", max_size=8))
def test_what_is_put_in_front_of_a_text_is_taken_away_again(text: str) -> None:
    assert unescaped(escaped(text)) == text
