import logging
import re
import sys
from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import EventDict

from application.errors import BrokenRow
from application.execution.working_for import request_ids, traceparent_of
from entrypoints.settings import Settings
from entrypoints.shown import shown, without_secrets

_TRACEBACK = "exception"
_TIME: Final = {"json": "ts", "text": "timestamp"}
# The first fields of a line of JSON, where it has them; the others follow.
_FIRST: Final = ("ts", "level", "event", "request_id", "trace_id", "order_id", "sequence", "queue", "attempt", "key")
# What a URL asks for may be a secret under any name.
_QUERY: Final = re.compile(r"(?P<url>\bhttps?://[^\s?]*\?)[^\s\"')>]+", re.IGNORECASE)


def configure_logging(settings: Settings) -> None:
    """Log everything, from our code and from libraries, to standard error, a line each."""
    shared: list[structlog.typing.Processor] = [
        _name_requests,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key=_TIME[settings.log_format]),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        # Plain tracebacks: the default ones show the variables of every frame, with passwords in URLs and customers'
        # orders.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr is not None and sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _say_alone,
        structlog.processors.format_exc_info,
        # JSON writes every control character as its code.
        _hide_secrets if settings.log_format == "json" else _show,
        *([_in_order] if settings.log_format == "json" else []),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*processors, renderer])
    )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # Libraries log every reconnect. Our processes log an outage once, in their own words.
    for library in ("aiosqlite", "asyncio", "alembic", "quart", "uvicorn"):
        logging.getLogger(library).setLevel(logging.ERROR)
    for library in ("aio_pika", "aiormq"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _name_requests(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Name the request that caused this line, or the requests of the batch that did."""
    ids = request_ids()
    if len(ids) == 1:
        event["request_id"] = str(ids[0])
        if (traceparent := traceparent_of(ids[0])) is not None:
            event["trace_id"] = traceparent.split("-")[1]
    elif ids:
        event["request_ids"] = ", ".join(ids)
    return event


def _say_alone(_logger: object, _method: str, event: EventDict) -> EventDict:
    """A broken row is no error of the code: its message says all, and a stack trace would hide it."""
    if isinstance(event.get("exc_info"), BrokenRow):
        event["reason"] = str(event.pop("exc_info"))
    return event


def _hide_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    return _each_text(event, _without_secrets)


def _without_secrets(text: str) -> str:
    text = without_secrets(text)
    return _QUERY.sub(r"\g<url>***", text) if "?" in text else text


def _in_order(_logger: object, _method: str, event: EventDict) -> EventDict:
    first = {name: event.pop(name) for name in _FIRST if name in event}
    return {**first, **event}


def _show(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Nothing from outside may steer a terminal, or end a line and forge the next one."""
    traceback = event.pop(_TRACEBACK, None)
    event = _each_text(event, _shown)
    if traceback is not None:
        # Its lines are indented: the message of an error may have a line that looks like one of the log.
        event[_TRACEBACK] = "\n".join(f"  {_shown(line)}" for line in str(traceback).split("\n"))
    return event


def _shown(text: str) -> str:
    return _QUERY.sub(r"\g<url>***", shown(text))


def _each_text(event: EventDict, change: Callable[[str], str]) -> EventDict:
    """Change all texts, and the representations of everything that is neither a text nor a number."""
    return {
        name: value
        if isinstance(value, int | float | None)
        else change(value if isinstance(value, str) else repr(value))
        for name, value in event.items()
    }
