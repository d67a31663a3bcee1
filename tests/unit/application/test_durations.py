"""How a span of time is told to a person."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.durations import in_words

_NUMBER_OF = {"ms": 1000, "s": 60, "min": 60, "h": 24}


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (timedelta(0), "0 ms"),
        (timedelta(milliseconds=-0.2), "0 ms"),
        (timedelta(milliseconds=-3), "-3 ms"),
        (timedelta(milliseconds=999.6), "1 s"),
        (timedelta(seconds=1.25), "1.2 s"),
        (timedelta(seconds=-1.5), "-1.5 s"),
        (timedelta(seconds=59.97), "1 min"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=-2, seconds=-60), "-2 h 1 min"),
        (timedelta(hours=23, minutes=59, seconds=59.9), "1 d"),
        (timedelta(days=1), "1 d"),
        (timedelta(days=1, seconds=5), "1 d"),
        (timedelta(days=300, hours=12), "300 d 12 h"),
    ],
)
def test_a_span_is_told_in_the_units_of_its_length(span: timedelta, told: str) -> None:
    assert in_words(span) == told


@given(st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)))
def test_no_unit_is_told_as_a_larger_one_would_be_and_nothing_has_a_sign(span: timedelta) -> None:
    words = in_words(span)
    parts = words.removeprefix("-").split()
    assert words != "-0 ms"
    assert len(parts) in {2, 4}
    for number, unit in zip(parts[::2], parts[1::2], strict=True):
        assert float(number) < _NUMBER_OF.get(unit, 100_000)
