import pytest

from entrypoints.cli.programs import _CONSOLE, _LISTENING, _SEE_IT_ALL, _WELCOME, _announce
from entrypoints.read_settings import read_settings

URL = "http://127.0.0.1:8000"


@pytest.mark.parametrize(("text", "console"), [(_LISTENING, _CONSOLE), (_WELCOME, _SEE_IT_ALL)], ids=["api", "up"])
def test_the_address_of_the_console_is_told_where_it_is_on(
    text: str, console: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for setting in ("on", "off"):
        _announce(read_settings({"HOLDFAST_CONSOLE": setting}), text, console, URL)
        said = capsys.readouterr().out
        assert URL in said
        assert (f"{URL}/console" in said) == (setting == "on")
