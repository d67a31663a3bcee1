"""A text from outside is shown without secrets and without control characters."""

import sys
from io import BytesIO, TextIOWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.cli.output import write
from entrypoints.shown import shown

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://h/0?password={SECRET}",
        f"redis://h/0?db=1&password={SECRET}#x",
        f"redis://h#{SECRET}",
        f"redis://:{SECRET}@h:6379/0",
        f"redis://{SECRET}@h",
        f"postgresql://holdfast:p@ss/w#{SECRET}@h:5432/x",
        f"postgresql://u:p'{SECRET}\"<>@h/x",
        f"postgresql+asyncpg://u:{SECRET}@[::1]/x",
        f"AMQP://u:?{SECRET}@h/",
        f"amqps://u:p://{SECRET}@h/",
        f"amqp://user:{SECRET}@h/",
        f"amqp://user:password@{SECRET}@h/",
        f"https://u:{SECRET}@shop.example/pens?color=blue",
        f"HTTPS://{SECRET}@shop.example",
        f"https://shop.example/hook?id=7&token={SECRET}&x=1",
        f"https://shop.example/hook?API_KEY={SECRET}",
    ],
)
@pytest.mark.parametrize("sentence", ["{}", "can't connect to '{}': refused", "({}, 5)", "two: {} {}"])
def test_a_url_is_shown_without_what_may_be_secret(url: str, sentence: str) -> None:
    text = shown(sentence.format(url, url))
    assert SECRET not in text
    assert "***" in text


@pytest.mark.parametrize(
    "text",
    [
        "Listening on http://127.0.0.1:8000",
        "write as in postgresql://user:password@host/name",
        "PostgreSQL at db:5432, database shop refuses connections",
        "ask ana@example.org",
        "Pen as in https://shop.example/pens?color=blue&size=3#top",
        "Pen by https://shop.example/@ana?by=ana@example.org",
        "Pens? See https://shop.example/?q=a and https://shop.example/pens?page=2",
        "Füllfederhalter 鋼筆 🖋",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert shown(text) == text


def test_a_server_can_be_recognised() -> None:
    assert shown(f"redis://u:{SECRET}@cache:6379/0") == "redis://***@cache:6379/0"


@given(st.text())
def test_no_character_reaches_a_terminal_that_could_steer_it(text: str) -> None:
    assert shown(text).isprintable()


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "a\rb", "\x9b2J", "\u202egpj.exe", "\u2028", "\udcff", "\x7f"])
def test_a_control_character_is_shown_as_its_code(text: str) -> None:
    assert shown(text).startswith(("\\", "a\\"))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_export_steers_no_terminal_and_is_as_it_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    content, output = "1,a\x1b[31mb\r\n2,a\u009b31m\u202eb\n".encode() + b"3,\xff\n", BytesIO()
    with TextIOWrapper(output, encoding="utf-8", write_through=True) as stdout:
        monkeypatch.setattr(stdout, "isatty", lambda: is_terminal)
        monkeypatch.setattr(sys, "stdout", stdout)
        write(content)
        monkeypatch.undo()
        shown_there = output.getvalue()
    assert shown_there == (b"1,a\\x1b[31mb\n2,a\\x9b31m\\u202eb\n3,\\xff\n" if is_terminal else content)
