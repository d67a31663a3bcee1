"""How the console writes values."""

from datetime import timedelta

import pytest

from entrypoints.cli.why import span_in_words
from entrypoints.http.console.formats import commands, duration, short


def test_a_number_is_an_id_that_is_not_shortened() -> None:
    assert short(7) == "7"
    assert short("01890a5d-ac96-774b-bcce-b302099a8057") == "01890a5d-ac96\N{HORIZONTAL ELLIPSIS}099a8057"


def test_a_command_in_a_sentence_is_marked_and_what_is_no_command_is_text() -> None:
    assert (
        commands("say `holdfast why <7>`, or wait & see")
        == "say <code>holdfast why &lt;7&gt;</code>, or wait &amp; see"
    )
    assert commands("nothing") == "nothing"


@pytest.mark.parametrize(
    ("span", "in_console", "in_cli"),
    [
        (timedelta(hours=2), "2 h", "120.0 min"),
        (timedelta(seconds=1.5), "1.5 s", "1.500 s"),
        (timedelta(0), "0 ms", "0.000 s"),
        (timedelta(milliseconds=-0.2), "0 ms", "-0.000 s"),
        (timedelta(milliseconds=-3), "-3 ms", "-0.003 s"),
        (timedelta(seconds=-1.5), "-1.5 s", "-1.500 s"),
        (timedelta(hours=-2, seconds=-60), "-2 h 1 min", "-121.0 min"),
    ],
)
def test_a_span_below_zero_has_a_sign_and_the_unit_of_its_length(span: timedelta, in_console: str, in_cli: str) -> None:
    assert duration(span) == in_console
    assert span_in_words(span) == in_cli
