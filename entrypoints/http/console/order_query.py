"""What is written into the search for orders, as in `status:PAID total:>100 placed:>1d customer:7`."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from attrs import evolve, frozen

from application.orders.find_by_id_part import SHORTEST_BEGINNING, IdPart
from application.ports.order_search import OrderFilter
from domain.ids import MAX_ID, CustomerId, OrderId, ProductId, customer_id
from domain.money import MAX_MINOR
from domain.orders.status import OrderStatus
from entrypoints.currencies import DIGITS
from entrypoints.http.field_errors import UNPRINTABLE
from entrypoints.http.ids import order_id_of
from entrypoints.http.moments import moment_of, within_years
from entrypoints.http.refusals import InvalidRequest, NotAnId, in_query

_FORM: Final = str(UUID(int=0))
_HEX: Final = frozenset("0123456789abcdef")
_AGE: Final = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AMOUNT: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,4}))?([A-Z]{3})?")
_WORD: Final = re.compile(r'(?P<word>(?:(?P<name>[^\s":]*):)?+(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]\S*|))(?:\s+|\Z)')
_PLAIN: Final = re.compile(r'[^\s"]\S*')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_OLDEST: Final = 100_000
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Of an amount without a currency.
_USUAL_DIGITS: Final = 2


class InvalidSearch(InvalidRequest):
    """A word of the search that can't be understood."""

    def __init__(self, rule: str) -> None:
        super().__init__(in_query("q", rule))
        self.rule = rule


@frozen
class OrderQuery:
    """The orders that are searched for.

    With `waits`, only those that wait for the worker, or only those that have waited for too long.
    `part` is a part of their id. With `instead`, the word may be something else, which is looked for first.
    """

    wanted: OrderFilter
    waits: Literal["waiting", "stuck"] | None = None
    part: IdPart | None = None
    instead: bool = False

    @property
    def order_id(self) -> OrderId | None:
        """The order, if one alone is searched for by its id."""
        return self.wanted.order_id if self.wanted == OrderFilter(order_id=self.wanted.order_id) else None

    @property
    def is_a_filter(self) -> bool:
        """Whether the API could tell the same orders: not with `stuck:` or `waiting:`, nor with `id:`."""
        return not self.waits and self.wanted.order_id is None and (self.part is None or self.instead)

    @property
    def counted(self) -> bool:
        """Whether what is searched for can be counted: it is one of the lists that have an index."""
        plain = evolve(self.wanted, user_id=None, statuses=frozenset())
        return not self.waits and self.part is None and plain == OrderFilter() and len(self.wanted.statuses) <= 1

    def as_export(self) -> dict[str, Any]:
        """Return the same filter as the export of orders takes it."""
        wanted = self.wanted
        given = {
            "user_id": wanted.user_id,
            "status": sorted(map(str, wanted.statuses)) or None,
            "product_id": sorted(wanted.product_ids) or None,
            "external_id": wanted.external_id,
            "email": wanted.email,
            "placed_after": wanted.placed_after and wanted.placed_after.isoformat(),
            "placed_before": wanted.placed_before and wanted.placed_before.isoformat(),
            "total_min": wanted.total_min,
            "total_max": wanted.total_max,
        }
        return {name: value for name, value in given.items() if value is not None}


_WAITS: Final[Mapping[str, str]] = {
    "waiting": "orders that wait for the worker",
    "stuck": "orders that have waited for the worker for too long",
}
# What stands in a list for the middle of an id.
ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"
# Characters.
_MAX_QUERY: Final = 500


def order_query(text: str, now: datetime) -> OrderQuery:
    """Parse a search. Raise `InvalidSearch`, which names the word that is wrong."""
    if len(text) > _MAX_QUERY:
        raise InvalidSearch(f"a search has at most {_MAX_QUERY} characters")
    if UNPRINTABLE.search(text):
        raise InvalidSearch("a search has printable characters only")
    given: dict[str, Any] = {}
    waits: Literal["waiting", "stuck"] | None = None
    for word, named, value in _words(text):
        name = _meant(value) if named is None else named
        if name in _WAITS:
            _yes(name, value)
            # A stuck order waits, too.
            waits = "stuck" if "stuck" in {name, waits} else "waiting"
            continue
        if name not in _READERS:
            raise InvalidSearch(f"{word!r}: there is no {name!r} to search by, only {', '.join([*_READERS, *_WAITS])}")
        for key, read in _READERS[name](value, now).items():
            if key in given:
                raise InvalidSearch(f"{word!r}: this was said before in another word")
            given[key] = read
    part, instead = given.pop("part", None), False
    if part is None and (external_id := given.get("external_id")) and text.strip() == external_id:
        part, instead = _part_of_id(external_id), True
    return OrderQuery(OrderFilter(**given), waits, part, instead and part is not None)


def search_word(name: str, value: object) -> str:
    """Return a word of a search, as `order_query` reads it, whatever the value is."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"{name}:{text}"
    return '{}:"{}"'.format(name, text.replace("\\", r"\\").replace('"', r"\""))


def _words(text: str) -> Iterator[tuple[str, str | None, str]]:
    """Return each word, the name before its colon if it has one, and the rest.

    What has spaces in it stands between quotation marks.
    """
    text, at = text.strip(), 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise InvalidSearch(f"{text[at:]!r}: put a quotation mark behind it, and a space behind that")
        value = found["value"]
        if value.startswith('"'):
            value = _ESCAPED.sub(r"\1", value[1:-1])
        yield found["word"], found["name"], value
        at = found.end()


def _meant(word: str) -> str:
    """What a word without a name is, by its form."""
    try:
        order_id_of(word)
    except NotAnId:
        return "email" if "@" in word else "external"
    return "id"


def _yes(name: str, value: str) -> None:
    if value not in {"yes", "true", ""}:
        raise InvalidSearch(f"{name}:{value}: write {name}:yes, for {_WAITS[name]}")


def _id(value: str, _: datetime) -> dict[str, OrderId | IdPart]:
    with suppress(NotAnId):
        return {"order_id": order_id_of(value)}
    try:
        return {"part": id_part(value)}
    except InvalidSearch as error:
        raise InvalidSearch(f"id:{value}: {error.rule}") from None


def id_part(text: str) -> IdPart:
    """Return the part of the id of an order that this is, which may be the whole. Raise `InvalidSearch`."""
    with suppress(NotAnId):
        return IdPart(str(order_id_of(text)))
    if part := _part_of_id(text):
        return part
    raise InvalidSearch(
        f"write at least the first {SHORTEST_BEGINNING} characters of the id of the order, with its hyphens, as in"
        f" 01890a5d-ac96, or what a list shows, as in 01890a5d-ac96{ELLIPSIS}b302099a: its end alone finds nothing"
    )


def _part_of_id(text: str) -> IdPart | None:
    """Return the part of an id that this is: its beginning, or as `short` shows it. None, if it is too little."""
    text = text.lower()
    if len(text) == len(_FORM) and _fits(text[:-1], _FORM) and text[-1] in _HEX:
        # The whole id, as a program that writes it in capitals shows it.
        return IdPart(text)
    beginning, _, end = text.replace("...", ELLIPSIS).partition(ELLIPSIS)
    is_part = len(beginning) >= SHORTEST_BEGINNING and _fits(beginning, _FORM) and _fits(end[::-1], _FORM[::-1])
    return IdPart(beginning, end) if is_part else None


def _fits(text: str, form: str) -> bool:
    """Whether a text is hex digits where the form has them, and hyphens where it has those."""
    return len(text) < len(form) and all(
        character == "-" if wanted == "-" else character in _HEX for character, wanted in zip(text, form, strict=False)
    )


def _customer(value: str, _: datetime) -> dict[str, CustomerId]:
    try:
        return {"user_id": customer_id(value)}
    except ValueError as error:
        raise InvalidSearch(f"customer:{value}: {error}") from None


def _status(value: str, _: datetime) -> dict[str, frozenset[OrderStatus]]:
    names = value.upper().split(",")
    if unknown := [name for name in names if name not in OrderStatus.__members__]:
        raise InvalidSearch(f"status:{unknown[0]}: it is one of {', '.join(OrderStatus)}, or some with commas between")
    return {"statuses": frozenset(map(OrderStatus, names))}


def _product(value: str, _: datetime) -> dict[str, frozenset[ProductId]]:
    numbers = value.split(",")
    if not all(number.isascii() and number.isdigit() and 1 <= int(number[:20]) <= MAX_ID for number in numbers):
        raise InvalidSearch(f"product:{value}: it is the id of a product, or some with commas between")
    return {"product_ids": frozenset(ProductId(int(number)) for number in numbers)}


def _placed(value: str, now: datetime) -> dict[str, datetime]:
    """`>1d`: within the last day. `<1d`: before. A date or a time may stand in place of the age."""
    sign, rest = value[:1], value[1:]
    if sign not in {">", "<"}:
        raise InvalidSearch(f"placed:{value}: write placed:>1d for the last day, placed:<1d for before, or a date")
    return {"placed_after" if sign == ">" else "placed_before": _moment(rest, now)}


def _moment(text: str, now: datetime) -> datetime:
    if age := _AGE.fullmatch(text):
        # Nothing is older than the beginning.
        span = timedelta(**{_UNITS[age[2]]: min(int(age[1]), _OLDEST)})
        return within_years(now - min(span, now - _BEGINNING))
    try:
        return moment_of(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError:
        raise InvalidSearch(
            f"placed: {text!r} is neither an age, as in 30m, 6h, 1d or 2w, nor a date, as in 2026-11-30"
        ) from None


def _total(value: str, _: datetime) -> dict[str, int]:
    """`>100`: 100.00 or more. A currency behind the amount says how many digits it has, as in `>5000JPY`."""
    sign, amount = value[:1], _AMOUNT.fullmatch(value[1:])
    digits = _USUAL_DIGITS if amount is None or amount[3] is None else DIGITS.get(amount[3])
    if sign not in {">", "<"} or amount is None or digits is None:
        raise InvalidSearch(f"total:{value}: write total:>100 or total:<99.50, or total:>5000JPY")
    minor = int(Decimal(f"{amount[1]}.{amount[2] or 0}").scaleb(digits))
    return {"total_min" if sign == ">" else "total_max": min(minor, MAX_MINOR)}


_READERS: Final[Mapping[str, Callable[[str, datetime], Mapping[str, Any]]]] = {
    "id": _id,
    "customer": _customer,
    "status": _status,
    "product": _product,
    "placed": _placed,
    "total": _total,
    "email": lambda value, _: {"email": value},
    "external": lambda value, _: {"external_id": value},
}
