import ast
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest
import structlog

from application.errors import BrokenRow
from application.execution.working_for import TracedId, WorkingFor
from entrypoints.logs import _FIRST, configure_logging
from entrypoints.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_variables(
    log_format: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format=log_format))

    def connect(url: str) -> None:
        raise RuntimeError("it broke")

    # Not as one word, for a traceback shows the lines of this file.
    secret = "terc3s"[::-1]
    try:
        connect(f"amqp://shop:{secret}@broker/")
    except RuntimeError:
        structlog.get_logger("test").exception("a step failed")
    said = capsys.readouterr().err
    assert "it broke" in said
    assert secret not in said


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_broken_row_is_told_in_one_line(
    log_format: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format=log_format))

    def read() -> None:
        raise BrokenRow("order 7 is stored with invalid values: the total is wrong") from ValueError("why")

    try:
        read()
    except BrokenRow as error:
        structlog.get_logger("test").error("request failed", order_id="7", exc_info=error)
    [line] = capsys.readouterr().err.rstrip("\n").split("\n")
    assert "the total is wrong" in line
    assert "Traceback" not in line


def test_what_is_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="warning"))
    structlog.get_logger("test").info("by the way")
    structlog.get_logger("test").warning("look out")
    said = capsys.readouterr().err
    assert "by the way" not in said
    assert "look out" in said


HOSTILE = "a\x1b[2J\n2026-01-01T00:00:00Z [error] forged\r\u202e\udcff"


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("way", ["event", "value", "of another type", "library", "error", "error of a library"])
def test_nothing_from_outside_steers_a_terminal_or_forges_a_line(
    log_format: Literal["text", "json"], way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format=log_format))
    error = ValueError(HOSTILE)
    match way:
        case "event":
            structlog.get_logger("test").warning(HOSTILE)
        case "value":
            structlog.get_logger("test").warning("refused", reason=HOSTILE)
        case "of another type":
            structlog.get_logger("test").warning("refused", reasons=[Odd()])
        case "library":
            logging.getLogger("test").warning("refused: %s", HOSTILE)
        case "error":
            structlog.get_logger("test").error("failed", exc_info=error)
        case _:
            logging.getLogger("test").error("failed", exc_info=error)
    lines = capsys.readouterr().err.rstrip("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if "forged" in line]
    assert not [line for line in lines if line.startswith("2026-01-01")]


class Odd:
    def __repr__(self) -> str:
        return HOSTILE


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_url_is_logged_with_its_password(
    log_format: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings(log_format=log_format))
    secret = "terc3s"[::-1]
    url = f"redis://h/0?password={secret}"
    structlog.get_logger("test").warning(f"can't use {url}", url=url, urls=[url])
    logging.getLogger("test").error("can't use %s", url, exc_info=ValueError(url))
    said = capsys.readouterr().err
    assert "redis://h/0" in said
    assert secret not in said


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_query_of_a_page_is_logged(log_format: Literal["text", "json"], capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format=log_format))
    secret = "terc3s"[::-1]
    url = f"https://shop.example/hook?x={secret}&y=1"
    structlog.get_logger("test").warning(f"no answer from {url} in time", url=url, exc_info=ValueError(url))
    said = capsys.readouterr().err
    assert said.count("https://shop.example/hook?***") == 3
    assert "in time" in said
    assert secret not in said


def test_a_line_of_json_begins_with_what_it_is_searched_by(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    structlog.get_logger("test").warning("it failed", reason="r", attempt=2, key="k", order_id="o", queue="payments")
    [line] = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert list(told)[:7] == ["ts", "level", "event", "order_id", "queue", "attempt", "key"]
    assert datetime.fromisoformat(told["ts"]).tzinfo is not None
    assert (told["level"], told["event"], told["reason"], told["logger"]) == ("warning", "it failed", "r", "test")


def test_a_process_without_standard_error_logs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging(Settings())
    structlog.get_logger("test").warning("nobody hears this")


def test_a_line_about_a_traced_request_has_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    trace = "0af7651916cd43dd8448eb211c80319c"
    with WorkingFor([TracedId.of("abc", f"00-{trace}-b7ad6b7169203331-01")]):
        structlog.get_logger("test").warning("traced")
    with WorkingFor(["abc"]):
        structlog.get_logger("test").warning("not traced")
    traced, other = map(json.loads, capsys.readouterr().err.splitlines())
    assert list(traced)[:5] == ["ts", "level", "event", "request_id", "trace_id"]
    assert (traced["request_id"], traced["trace_id"], other.get("trace_id")) == ("abc", trace, None)


ROOT = Path(__file__).parents[3]
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
# What structlog takes for itself: it becomes the field `exception`.
_NO_FIELD = {"exc_info"}


def fields_in(tree: ast.AST) -> Iterator[str]:
    """The names of what is logged: given by name to a logger, or in a dict that is."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _LEVELS:
            logger = ast.unparse(call.func.value).rpartition(".")[2]
            if logger in {"log", "_log"}:
                yield from (keyword.arg for keyword in call.keywords if keyword.arg is not None)
    for each in ast.walk(tree):
        # Those that are told of several things are made before: `told`, `about`, `facts`, `cause` and `found`.
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Dict):
            named = {target.id for target in each.targets if isinstance(target, ast.Name)}
            if named & {"told", "about", "facts"}:
                yield from (str(key.value) for key in each.value.keys if isinstance(key, ast.Constant))


def test_every_field_of_a_line_is_explained() -> None:
    used = set(_FIRST)
    for package in ("adapters", "entrypoints"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if "structlog" in text or "_log" in text:
                used |= {name for name in fields_in(ast.parse(text)) if name.isidentifier()}
    page = (ROOT / "docs" / "logs.md").read_text()
    explained = {
        name for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert {"queue", "order_id", "endpoint_id", "retry_in"} < used
    assert used - explained - _NO_FIELD == set()


def test_the_lines_in_the_docs_are_such_as_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "logs.md").read_text()
    [shown] = re.findall(r"(\{\"ts\".*?\})", page, re.DOTALL)
    told = json.loads(shown)
    fields = {name: told[name] for name in told if name not in {"ts", "level", "event", "logger", "request_id"}}
    for log_format in ("json", "text"):
        configure_logging(Settings(log_format=log_format))
        with WorkingFor([told["request_id"]]):
            structlog.get_logger(told["logger"]).warning(told["event"], **fields)
    as_json, as_text = capsys.readouterr().err.splitlines()
    assert list(json.loads(as_json)) == list(told)
    assert json.loads(as_json) | {"ts": told["ts"]} == told
    [shown_text] = re.findall(r"^    (\S+Z \[warning  \].*)$", page, re.MULTILINE)
    assert as_text.partition("Z")[2].startswith(shown_text.partition("Z")[2].partition(" order_id")[0])
