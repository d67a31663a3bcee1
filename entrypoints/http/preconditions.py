"""Conditional requests (RFC 9110, section 13): the version of an order or a product is its strong entity tag.

An order has no Last-Modified, since that is exact to the second only. `updated_at`, which is exact, decides about
If-Unmodified-Since and If-Modified-Since.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final, Protocol

from attrs import frozen
from werkzeug.datastructures import Headers

from application.execution.conditional import OnlyIf, OrderCall, PreconditionFailed, always
from domain.ids import OrderId
from domain.orders.order import Order
from entrypoints.http.refusals import InvalidHeader, each_header, in_header

# Those that guard a change. If-Modified-Since guards none (RFC 9110, section 13.1.3).
TAGS: Final = frozenset({"If-Match", "If-None-Match"})
GUARDS: Final = TAGS | {"If-Unmodified-Since"}
_NAMES: Final = GUARDS | {"If-Modified-Since"}

_ANY: Final = "*"
# Between the version and what names the parts of a representation.
_PARTS: Final = ";"
# An entity tag, or nothing, and the comma behind it. An empty element of a list is allowed (RFC 9110, section 5.6.1).
_ELEMENT: Final = re.compile(r'[ \t]*(?P<tag>(?:W/)?"[!#-~\x80-\xff]*")?[ \t]*(?:,|\Z)')
_DATE_FORMATS: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


class Versioned(Protocol):
    """What each change gives another version."""

    @property
    def version(self) -> int: ...


def etag_of(thing: Versioned) -> str:
    return f'"v{thing.version}"'


def etag_with_parts(thing: Versioned, body: bytes) -> str:
    """Return the tag of this representation, which has more in it than the version says. It guards a change as well."""
    return f'"v{thing.version}{_PARTS}{blake2b(body, digest_size=8).hexdigest()}"'


@frozen
class EntityTags:
    """The conditions on the version of something. None stands for a header that was not sent."""

    match: frozenset[str] | None
    none_match: frozenset[str] | None

    @classmethod
    def of(cls, headers: Headers) -> "EntityTags":
        """Raise `InvalidHeader`."""
        tags = each_header(TAGS, lambda name: _tags(headers, name))
        return cls(tags["If-Match"], tags["If-None-Match"])

    def allow_change(self, thing: Versioned) -> bool:
        return self.expect(thing) and not self.exclude(thing)

    def spare_body(self, thing: Versioned) -> bool:
        """Return whether a client that reads it has it already. Raise `PreconditionFailed`."""
        if not self.expect(thing):
            raise PreconditionFailed(f"it is at version {thing.version}")
        return self.exclude(thing)

    def expect(self, thing: Versioned) -> bool:
        # A weak tag never matches strongly.
        return self.match is None or _ANY in self.match or etag_of(thing) in map(_of_version, self.match)

    def exclude(self, thing: Versioned, etag: str | None = None) -> bool:
        """Return whether it is excluded, or only its representation with this tag."""
        # RFC 9110, section 13.1.2: a weak comparison.
        tags = self.none_match or frozenset()
        if etag is None:
            etag, tags = etag_of(thing), frozenset(map(_of_version, tags))
        return not tags.isdisjoint({_ANY, etag, f"W/{etag}"})


@frozen
class Preconditions:
    """The conditions of one request about an order. None stands for a header that was not sent."""

    _tags: EntityTags
    _unmodified_since: datetime | None
    _modified_since: datetime | None

    @classmethod
    def of(cls, headers: Headers) -> "Preconditions | None":
        """Return the preconditions, or None if there are none. Raise `InvalidHeader`."""
        if _NAMES.isdisjoint(map(itemgetter(0), headers)):
            return None
        guards = each_header(_READERS, lambda name: _READERS[name](headers, name))
        return cls(
            EntityTags(guards["If-Match"], guards["If-None-Match"]),
            guards["If-Unmodified-Since"],
            # RFC 9110, section 13.1.3: a date that is not valid is ignored. It guards nothing.
            _date_in(headers.get("If-Modified-Since", "")),
        )

    def allow_change(self, order: Order) -> bool:
        return self._expect_this(order) and not self._tags.exclude(order)

    def spare_body(self, order: Order, etag: str) -> bool:
        """Return whether a client that reads the order, as this tag names it, has it. Raise `PreconditionFailed`."""
        if not self._expect_this(order):
            raise PreconditionFailed(f"order {order.id} is at version {order.version}")
        if self._tags.none_match is not None:
            return self._tags.exclude(order, etag)
        if etag != etag_of(order):
            # A date says nothing about the parts.
            return False
        return self._modified_since is not None and order.updated_at <= self._modified_since

    def _expect_this(self, order: Order) -> bool:
        # RFC 9110, section 13.2.2: If-Match takes precedence over the date.
        if self._tags.match is not None:
            return self._tags.expect(order)
        return self._unmodified_since is None or order.updated_at <= self._unmodified_since


def expect_readable(headers: Headers, names: Iterable[str]) -> None:
    """Read those of the guards that a route honours. Raise `InvalidHeader`."""
    each_header(sorted(GUARDS.intersection(names)), lambda name: _READERS[name](headers, name))


def allowed_by(headers: Headers) -> Callable[[Order], bool]:
    """Return the preconditions of the request, for a change that has more than an id. Raise `InvalidHeader`."""
    preconditions = Preconditions.of(headers)
    return always if preconditions is None else preconditions.allow_change


def is_known(etag: str, headers: Headers) -> bool:
    """Return whether the client says that it has what this entity tag names. Raise `InvalidHeader`."""
    tags = _tags(headers, "If-None-Match") or frozenset()
    return not tags.isdisjoint({_ANY, etag, f"W/{etag}"})


def only_if(order_id: OrderId, headers: Headers) -> OrderCall:
    """Return the order to be changed, with the preconditions of the request. Raise `InvalidHeader`."""
    preconditions = Preconditions.of(headers)
    return order_id if preconditions is None else OnlyIf(order_id, preconditions.allow_change)


def _of_version(tag: str) -> str:
    """Return the tag of the version that a representation with parts is of."""
    version, parts, _ = tag.partition(_PARTS)
    return f'{version}"' if parts else tag


def _tags(headers: Headers, name: str) -> frozenset[str] | None:
    values = headers.getlist(name)
    if not values:
        return None
    text = ",".join(values)
    tags = frozenset({_ANY} if text.strip(" \t") == _ANY else _elements(name, text))
    if not tags:
        raise _no_tags(name)
    return tags


def _elements(name: str, text: str) -> Iterable[str]:
    position = 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:
            raise _no_tags(name)
        if element["tag"] is not None:
            yield element["tag"]
        position = element.end()


def _no_tags(name: str) -> InvalidHeader:
    return InvalidHeader(in_header(name, 'it is * or a list of entity tags, as in "v3": the ETag of a response'))


def _date(headers: Headers, name: str) -> datetime | None:
    values = headers.getlist(name)
    if not values:
        return None
    date = _date_in(values[0])
    if date is None or len(values) > 1:
        raise InvalidHeader(in_header(name, "it is one date, as in Sun, 06 Nov 1994 08:49:37 GMT"))
    return date


def _date_in(text: str) -> datetime | None:
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text.strip(" \t"), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


_READERS: Final[Mapping[str, Callable[[Headers, str], Any]]] = {
    "If-Match": _tags,
    "If-None-Match": _tags,
    "If-Unmodified-Since": _date,
}
