"""How values are written in pages."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup, escape

from application.durations import in_words
from domain.jobs.job import JobStatus
from domain.money import Money
from domain.orders.status import OrderStatus
from domain.webhooks.delivery import DeliveryStatus
from entrypoints.currencies import DIGITS
from entrypoints.http.console.order_query import ELLIPSIS, search_word

# What stands where there is no value.
NOTHING: Final = "\N{EN DASH}"
# Characters of an id that is not shortened.
_SHORT: Final = 22

# What a status looks like beside its name, which is always there: nothing is said by colour alone.
_TONES: Final[Mapping[str, str]] = {
    JobStatus.SCHEDULED: "wait",
    JobStatus.AVAILABLE: "wait",
    JobStatus.EXECUTING: "busy",
    JobStatus.RETRYABLE: "wait",
    JobStatus.DISCARDED: "bad",
    DeliveryStatus.RETRYING: "wait",
    DeliveryStatus.DELIVERED: "good",
    DeliveryStatus.EXHAUSTED: "bad",
    OrderStatus.PENDING: "wait",
    OrderStatus.PROCESSING: "busy",
    OrderStatus.PAID: "good",
    OrderStatus.COMPLETED: "good",
    OrderStatus.FAILED: "bad",
    OrderStatus.CANCELLED: "calm",
    OrderStatus.EXPIRED: "calm",
    OrderStatus.REFUNDED: "calm",
}


def moment(at: datetime | None) -> Markup | str:
    """A time, which the browser writes in its own time zone."""
    if at is None:
        return NOTHING
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M:%S} UTC</time>').format(
        utc.isoformat(timespec="milliseconds"), utc
    )


def duration(span: timedelta | float | None) -> str:
    """A span of time, or so many seconds, as in `3 min 20 s`."""
    if span is None:
        return NOTHING
    return in_words(span if isinstance(span, timedelta) else timedelta(seconds=span))


def money(amount: Money) -> str:
    """An amount in the major unit, as in `1,250.00 EUR`."""
    digits = DIGITS.get(amount.currency, 0)
    return f"{amount.minor / 10**digits:,.{digits}f} {amount.currency}"


def number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def count_of(count: int, noun: str, *, most: int | None = None) -> str:
    """As in `1 order` and `1,000+ orders`: of `most`, there may be more."""
    return f"{count:,}{'+' if most is not None and count >= most else ''} {noun}{'' if count == 1 else 's'}"


def tone(status: object) -> str:
    return _TONES.get(str(status), "calm")


def pretty(value: object) -> str:
    """A value of JSON over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def brief(value: Mapping[str, Any]) -> str:
    """A small object of JSON in one line, without what is empty, as in `status PAID, version 3`."""
    return ", ".join(f"{key} {_plain(each)}" for key, each in value.items() if each not in (None, [], {}, ""))


def short(id_: object) -> str:
    """The beginning of an id, by which it is found, and its end: ids that were made at one time begin alike."""
    text = str(id_)
    return text if len(text) <= _SHORT else f"{text[:13]}{ELLIPSIS}{text[-8:]}"


def commands(text: str) -> Markup:
    """A sentence, in which commands stand between backticks."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def search(value: object, name: str) -> str:
    """The address of the search for orders that have this value."""
    return f"/console/orders?{urlencode({'q': search_word(name, value)})}"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "moment": moment,
    "duration": duration,
    "money": money,
    "number": number,
    "tone": tone,
    "pretty": pretty,
    "brief": brief,
    "short": short,
    "commands": commands,
    "search": search,
}
