"""What a screen reads from its request."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from string import punctuation
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from attrs import frozen
from quart import Request, request
from werkzeug.exceptions import UnsupportedMediaType

from application.access.principal import Forbidden
from application.execution.idempotency import Keyed, KeyReused
from application.jobs.add_job import StartedJob
from application.ports.idempotency import IdempotencyKey
from domain.ids import JobId
from entrypoints.http import query
from entrypoints.http.decoding import read_body
from entrypoints.http.field_errors import UNPRINTABLE
from entrypoints.http.headers import SAFE_METHODS
from entrypoints.http.ids import whole_number_of
from entrypoints.http.query import Reader
from entrypoints.http.refusals import InvalidRequest, in_body

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 300
_LINES: Final = str.maketrans("", "", "\r\n\t")
# The field with the key that a page gives to a form which starts a job.
_ONCE: Final = "once"

T = TypeVar("T")
# Hours.
_CENTURY: Final = 24 * 36_500


@frozen
class RefusedAct:
    """An act on many items for which the wrong count was sent. What was typed beside it stays in the form."""

    act: str
    reason: str


class WrongOrigin(Forbidden):
    """Another page than one of the console asks for a change."""


def expect_own_origin(sent: Request) -> None:
    """Raise `WrongOrigin` unless a page of this very host sends the request."""
    origin, host = sent.headers.get("Origin") or "", sent.headers.get("Host") or ""
    from_here = sent.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    if not host or origin.partition("://")[2].lower() != host.lower() or not from_here:
        raise WrongOrigin("changes are asked for on the pages of the console alone: nothing was done")


def parameters(readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the parameters of the query, as the API reads them. Raise `InvalidRequest`."""
    sent = query.parameters(request.query_string, {**readers, "done": str})
    # It is of the frame of the page.
    sent.pop("done", None)
    return sent


async def form() -> Mapping[str, str]:
    """Return the fields of the form that was sent. Of a field that was sent twice, the last one counts."""
    return dict(await form_pairs())


async def form_pairs() -> list[tuple[str, str]]:
    """Return the fields of the form that was sent, also those with one name.

    Raise `UnsupportedMediaType`, or `InvalidRequest` for too many, and for characters that no database stores.
    """
    if request.mimetype != _FORM:
        raise UnsupportedMediaType("Send the form of the page.")
    body = (await read_body()).decode("utf-8", errors="replace")
    try:
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidRequest(in_body("", f"a form has at most {_MAX_FIELDS} fields")) from None
    for name, value in pairs:
        # A field of several lines has ends of lines.
        if UNPRINTABLE.search(value.translate(_LINES)):
            raise InvalidRequest(in_body(name, f"{name} has printable characters only"))
    return pairs


async def start_once(
    start: Callable[[T | Keyed[T]], Awaitable[StartedJob]], wanted: T, sent: Mapping[str, str]
) -> tuple[JobId, bool]:
    """Start a job under the key of its form: a form that is sent again starts no second one.

    Return the id of the job, and False if the form had started it before with something else in it.
    """
    key = sent.get(_ONCE)
    if not key:
        return (await start(wanted)).id, True
    # A job is known again by what it was asked for, and not by the bytes of the form.
    call = Keyed(wanted, IdempotencyKey("form of the console", key), fingerprint="")
    try:
        return (await start(call)).id, True
    except KeyReused:
        return JobId(call.key.order_id), False


def whole_number(sent: Mapping[str, str], name: str) -> int:
    """Return a field that is a whole number. Raise `InvalidRequest`."""
    number = whole_number_of(sent.get(name, "").removeprefix("-"))
    if number is None:
        raise InvalidRequest(in_body(name, f"{name} is a whole number"))
    return -number if sent[name].startswith("-") else number


def hours(sent: Mapping[str, str], name: str, *, each: int = 1) -> timedelta:
    """Return a field that is a number of hours, or of as many at once as `each` says. A century stands for more.

    Raise `InvalidRequest`.
    """
    number = whole_number(sent, name) * each
    return timedelta(hours=max(-_CENTURY, min(number, _CENTURY)))


def choice(sent: Mapping[str, str], name: str, known: Sequence[str]) -> str:
    """Return a field that has one of these values. Raise `InvalidRequest`."""
    value = sent.get(name, "")
    if value not in known:
        raise InvalidRequest(in_body(name, f"{name} is one of {', '.join(known)}"))
    return value


def optional(read: Reader) -> Reader:
    """Return the reader of a field that a form sends empty when nothing stands in it."""
    return lambda text: read(text) if text else None


def is_of_console(path: str) -> bool:
    """Whether this is the address of a page of the console, and of nothing else."""
    return path == "/console" or (path.startswith("/console/") and "//" not in path and "\\" not in path)


def page_of_request(sent: Request) -> str:
    """Return the address at which the page that answers the request can be shown again: an act is not done again."""
    if sent.method not in SAFE_METHODS:
        return page_before(sent)
    # The path was decoded. In a header, nothing may end its line.
    path = quote(sent.path)
    return f"{path}?{quote(sent.query_string, safe=punctuation)}" if sent.query_string else path


def page_before(sent: Request) -> str:
    """Return the address of the page of the console from which the request was sent, or nothing."""
    try:
        before = urlsplit(sent.headers.get("Referer") or "")
    except ValueError:
        return ""
    if not is_of_console(before.path):
        return ""
    # What was done before is not told a second time.
    query = [(name, value) for name, value in parse_qsl(before.query) if name != "done"]
    return f"{before.path}?{urlencode(query)}" if query else before.path


def address(path: str, **query: object) -> str:
    """Return a path with a query, without the parts that are None or empty."""
    sent = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"{path}?{urlencode(sent)}" if sent else path
