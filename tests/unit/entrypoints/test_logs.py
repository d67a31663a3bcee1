import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from entrypoints.logs import configure_logging
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


def test_what_is_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="warning"))
    structlog.get_logger("test").info("by the way")
    structlog.get_logger("test").warning("look out")
    said = capsys.readouterr().err
    assert "by the way" not in said
    assert "look out" in said
