"""The query parameters of lists."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import nan
from types import MappingProxyType
from typing import Any, Final, cast, get_args
from urllib.parse import parse_qsl

from application.execution.counting import MOST_COUNTED
from application.imports.request import OnError, What
from application.messaging.subscriptions import WORK_QUEUES
from application.ports.feed import FED_TYPES, Position, types_among
from domain.ids import MAX_ID, CustomerId, OrderId, ProductId
from domain.jobs.job import JobStatus
from domain.money import MAX_MINOR
from domain.orders.limits import MAX_EMAIL, MAX_EXTERNAL_ID
from domain.orders.status import OrderStatus
from domain.webhooks.delivery import DeliveryStatus, Undelivered
from entrypoints.http.cursors import expect_form
from entrypoints.http.field_errors import EMAIL, PATTERNS, PRINTABLE
from entrypoints.http.ids import PATH_SCHEMAS, customer_id_of, order_id_of, whole_number_of
from entrypoints.http.moments import moment_of
from entrypoints.http.refusals import InvalidRequest, NotAnId, in_query, raise_all

MAX_SUBJECT: Final = 100
MAX_REQUEST_ID: Final = 64
MAX_PLACE: Final = 200
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
# Seconds that a request may wait for something to happen.
MOST_SECONDS: Final = 10.0
MAX_EVENTS: Final = 1_000_000

# More parameters than any route has, and few enough to be parsed quickly.
_MAX_PARAMETERS: Final = 20

# What may be shown inside an order.
CHANGES: Final = "changes"
EXPANDABLE: Final = frozenset({"payments", "events", "refunds", CHANGES})

# What stands for a byte that is not UTF-8.
_NOT_UTF8: Final = "\ufffd"
# The products that are for sale, those that are not, and all.
_ACTIVE: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "all": None}

_DECIMAL: Final = re.compile(r"[0-9.eE+-]{1,32}")
_CAPPED: Final = "capped"
_KIND: Final = re.compile(r"[a-z_]{1,64}")
_ACTION: Final = re.compile(r"[a-z_.]{1,64}")

# Parses the text of one parameter. Raises `InvalidRequest`.
Reader = Callable[[str], Any]


def parameters(raw: bytes, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Parse a query with these parameters, and return those that were sent.

    Raise `InvalidRequest` with every parameter that is unknown, given twice, or wrong.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise InvalidRequest(
            in_query("query", f"there are at most {_MAX_PARAMETERS} parameters", "wrong_length")
        ) from None
    values: dict[str, Any] = {}
    refusals: list[InvalidRequest] = []
    for name, text in pairs:
        try:
            if name not in readers:
                raise InvalidRequest(  # noqa: TRY301 - told with the others
                    in_query(name[:100], f"there is no such parameter here{_only(readers)}", "unknown")
                )
            if name in values:
                raise InvalidRequest(in_query(name, "send the parameter only once", "repeated"))  # noqa: TRY301
            values[name] = None
            values[name] = readers[name](text)
        except InvalidRequest as error:
            refusals.append(error)
    raise_all(refusals, InvalidRequest)
    return values


def what(text: str) -> What:
    return cast(What, _one_of("what", text, get_args(What)))


def on_error(text: str) -> OnError:
    return cast(OnError, _one_of("on_error", text, get_args(OnError)))


def dry_run(text: str) -> bool:
    return _one_of("dry_run", text, ("true", "false")) == "true"


def limit(text: str) -> int:
    return _whole_number("limit", text, MAX_LIMIT)


def user_id(text: str) -> CustomerId:
    if _NOT_UTF8 in text:
        raise InvalidRequest(in_query("user_id", "it is not UTF-8"))
    return customer_id_of(text, in_query)


def status(text: str) -> OrderStatus:
    if text not in OrderStatus.__members__:
        raise InvalidRequest(in_query("status", f"it is one of {', '.join(OrderStatus)}", "not_one_of"))
    return OrderStatus[text]


def active(text: str) -> bool | None:
    if text not in _ACTIVE:
        raise InvalidRequest(in_query("active", f"it is one of {', '.join(_ACTIVE)}", "not_one_of"))
    return _ACTIVE[text]


def request_id(text: str) -> str:
    return _text("request_id", text, PRINTABLE, MAX_REQUEST_ID)


def subject(text: str) -> str:
    return _text("subject", text, PRINTABLE, MAX_SUBJECT)


def action(text: str) -> str:
    if _ACTION.fullmatch(text) is None:
        raise InvalidRequest(in_query("action", "it is a word of the audit, as in dead_letter.decided"))
    return text


def job_status(text: str) -> JobStatus:
    if text not in JobStatus.__members__:
        raise InvalidRequest(in_query("status", f"it is one of {', '.join(JobStatus)}", "not_one_of"))
    return JobStatus[text]


def job_kind(text: str) -> str:
    if _KIND.fullmatch(text) is None:
        raise InvalidRequest(in_query("kind", "it is 1 to 64 characters of a-z and _"))
    return text


def product_id(text: str) -> ProductId:
    return ProductId(_whole_number("product_id", text, MAX_ID))


def external_id(text: str) -> str:
    return _text("external_id", text, PRINTABLE, MAX_EXTERNAL_ID)


def email(text: str) -> str:
    return _text("email", text, EMAIL, MAX_EMAIL)


def placed_after(text: str) -> datetime:
    return _moment("placed_after", text)


def placed_before(text: str) -> datetime:
    return _moment("placed_before", text)


def total_min(text: str) -> int:
    return _whole_number("total_min", text, MAX_MINOR, smallest=0)


def total_max(text: str) -> int:
    return _whole_number("total_max", text, MAX_MINOR, smallest=0)


def expand(text: str) -> frozenset[str]:
    """Parts of an order, with commas between them."""
    parts = frozenset(text.split(","))
    if not parts <= EXPANDABLE:
        rule = f"it is {', '.join(sorted(EXPANDABLE))}, or some of them with commas between"
        raise InvalidRequest(in_query("expand", rule, "not_one_of"))
    return parts


def words(text: str) -> str:
    return _text("q", text, PRINTABLE, MAX_EMAIL)


def count(text: str) -> str:
    if text != _CAPPED:
        rule = f"it is {_CAPPED}: lists are counted up to {MOST_COUNTED}"
        raise InvalidRequest(in_query("count", rule, "not_one_of"))
    return text


def cursor(text: str) -> str:
    """Return it as it is, if it has the form of a cursor. It can be verified only with the other parameters."""
    expect_form(text)
    return text


def position(text: str) -> Position:
    number = whole_number_of(text)
    if number is None or number > MAX_ID:
        raise InvalidRequest(in_query("after", "it is a position, as in `next`: a whole number, 0 for the beginning"))
    return Position(number)


def event_types(text: str) -> frozenset[str]:
    """Types and beginnings of types, with commas between them."""
    patterns = text.split(",")
    for pattern in patterns:
        if not types_among(FED_TYPES, [pattern]):
            known = ", ".join(sorted(FED_TYPES))
            rule = f"{pattern[:40]!r} names no type; write types with commas between them, as in order.*,order.paid"
            raise InvalidRequest(in_query("types", f"{rule}. There are {known}", "not_one_of"))
    return types_among(FED_TYPES, patterns)


def event_type(text: str) -> str:
    """One type."""
    return _one_of("type", text, sorted(FED_TYPES))


def delivery_status(text: str) -> DeliveryStatus:
    return DeliveryStatus(_one_of("status", text, list(DeliveryStatus)))


def queue(text: str) -> str:
    return _one_of("queue", text, [work.name for work in WORK_QUEUES])


def error(text: str) -> str:
    return _text("error", text, PRINTABLE, MAX_SUBJECT)


def place(text: str) -> str:
    """Empty for those whose place is not known."""
    return _text("place", text, PRINTABLE, MAX_PLACE) if text else ""


def decided(text: str) -> bool:
    return _one_of("decided", text, ("true", "false")) == "true"


def undelivered_reason(text: str) -> Undelivered:
    return Undelivered(_one_of("reason", text, list(Undelivered)))


def order_id(text: str) -> OrderId:
    try:
        return order_id_of(text)
    except NotAnId as error:
        raise InvalidRequest(in_query("order_id", str(error))) from None


def seconds(text: str) -> float:
    try:
        number = float(text) if _DECIMAL.fullmatch(text) else nan
    except ValueError:
        number = nan
    if not 0 <= number <= MOST_SECONDS:
        rule = f"it is a number of seconds from 0 to {int(MOST_SECONDS)}"
        raise InvalidRequest(in_query("wait", rule, "out_of_range"))
    return number


def min_version(text: str) -> int:
    return _whole_number("min_version", text, MAX_ID)


def max_events(text: str) -> int:
    return _whole_number("max_events", text, MAX_EVENTS)


def _one_of(name: str, text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise InvalidRequest(in_query(name, f"it is one of {', '.join(known)}", "not_one_of"))
    return text


def _whole_number(name: str, text: str, largest: int, *, smallest: int = 1) -> int:
    number = whole_number_of(text)
    if number is None or not smallest <= number <= largest:
        raise InvalidRequest(in_query(name, f"it is a whole number from {smallest} to {largest}", "out_of_range"))
    return number


def _text(name: str, text: str, pattern: str, most: int) -> str:
    if not 1 <= len(text) <= most:
        raise InvalidRequest(in_query(name, f"it has 1 to {most} characters", "wrong_length"))
    if _NOT_UTF8 in text or re.search(pattern, text) is None:
        raise InvalidRequest(in_query(name, PATTERNS[pattern]))
    return text


def _moment(name: str, text: str) -> datetime:
    try:
        # An unescaped + is a space in a query.
        return moment_of(text.replace(" ", "+"))
    except ValueError:
        raise InvalidRequest(in_query(name, "it is a time as in 2026-01-31T12:00:00Z")) from None


def _only(readers: Mapping[str, Reader]) -> str:
    return f", only {', '.join(readers)}" if readers else ""


TYPE_PATTERN: Final = "|".join(["order\\.\\*", *(re.escape(type_) for type_ in sorted(FED_TYPES))])
_TYPES_PATTERN: Final = f"^({TYPE_PATTERN})(,({TYPE_PATTERN}))*$"
_PART_PATTERN: Final = "|".join(sorted(EXPANDABLE))
_EXPAND_PATTERN: Final = f"^({_PART_PATTERN})(,({_PART_PATTERN}))*$"

# What each parameter looks like, for `/openapi.json`.
SCHEMAS: Final[Mapping[Reader, Mapping[str, Any]]] = MappingProxyType(
    {
        limit: {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        what: {"type": "string", "enum": list(get_args(What)), "description": "What the rows are."},
        on_error: {
            "type": "string",
            "enum": list(get_args(OnError)),
            "default": "stop",
            "description": "Whether nothing is done if a row is bad, or the other rows are.",
        },
        dry_run: {"type": "boolean", "default": False, "description": "Try every row, and change nothing."},
        status: {"type": "string", "enum": list(OrderStatus)},
        request_id: {"type": "string", "minLength": 1, "maxLength": MAX_REQUEST_ID, "pattern": PRINTABLE},
        subject: {"type": "string", "minLength": 1, "maxLength": MAX_SUBJECT, "pattern": PRINTABLE},
        cursor: {"type": "string", "description": "The `next` of the page before this one."},
        user_id: {"type": "string", "description": "The id of a customer."},
        product_id: {"type": "integer", "minimum": 1, "maximum": MAX_ID, "description": "An item has this product."},
        external_id: {"type": "string", "minLength": 1, "maxLength": MAX_EXTERNAL_ID, "pattern": PRINTABLE},
        email: {"type": "string", "minLength": 1, "maxLength": MAX_EMAIL, "pattern": EMAIL},
        placed_after: {"type": "string", "format": "date-time", "description": "Placed then or later."},
        placed_before: {"type": "string", "format": "date-time", "description": "Placed before."},
        total_min: {"type": "integer", "minimum": 0, "maximum": MAX_MINOR},
        total_max: {"type": "integer", "minimum": 0, "maximum": MAX_MINOR},
        expand: {
            "type": "string",
            "pattern": _EXPAND_PATTERN,
            "description": f"Some of {', '.join(sorted(EXPANDABLE))}, with commas between them.",
        },
        words: {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_EMAIL,
            "pattern": PRINTABLE,
            "description": "The id of an order, an e-mail address, or an external id.",
        },
        count: {"type": "string", "enum": [_CAPPED], "description": f"Also count the list, up to {MOST_COUNTED}."},
        active: {"type": "string", "enum": list(_ACTIVE)},
        action: {
            "type": "string",
            "pattern": f"^{_ACTION.pattern}$",
            "description": "What was done, as an entry has it: dead_letter.decided, order.cancelled, ...",
        },
        job_kind: {"type": "string", "pattern": f"^{_KIND.pattern}$"},
        job_status: {"type": "string", "enum": list(JobStatus)},
        position: {"type": "integer", "minimum": 0, "maximum": MAX_ID, "description": "Events after this position."},
        event_types: {
            "type": "string",
            "pattern": _TYPES_PATTERN,
            "description": "Types with commas between them, as in order.*,order.paid.",
        },
        event_type: {"type": "string", "enum": sorted(FED_TYPES)},
        delivery_status: {"type": "string", "enum": list(DeliveryStatus)},
        queue: {"type": "string", "enum": [work.name for work in WORK_QUEUES]},
        error: {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_SUBJECT,
            "pattern": PRINTABLE,
            "description": "The kind of the error, as in a group.",
        },
        place: {
            "type": "string",
            "maxLength": MAX_PLACE,
            "pattern": PRINTABLE,
            "description": "Where it was raised, as in a group; empty if that is not known.",
        },
        decided: {"type": "boolean", "default": False, "description": "Also those that were decided."},
        undelivered_reason: {
            "type": "string",
            "enum": list(Undelivered),
            "description": "Why the receiver does not have the event.",
        },
        order_id: PATH_SCHEMAS["order_id"],
        seconds: {"type": "number", "minimum": 0, "maximum": int(MOST_SECONDS), "description": "Seconds to wait."},
        min_version: {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_ID,
            "description": "Wait until the order has this version, or a later one.",
        },
        max_events: {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "description": "The stream ends then."},
    }
)
