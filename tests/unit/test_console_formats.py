"""How the console writes values."""

from datetime import timedelta

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


def test_a_duration_is_a_span_or_seconds_and_may_be_unknown() -> None:
    assert duration(timedelta(seconds=90)) == duration(90.0) == "1 min 30 s"
    assert duration(None) == "\N{EN DASH}"
