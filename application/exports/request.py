"""What an export is of: orders, products or events, with a filter, as CSV or NDJSON."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args
from uuid import UUID

from attrs import field, frozen

from application.access.scopes import Scope
from application.orders.filter_in_json import ORDER_FILTERS, order_filter
from application.ports.feed import FeedFilter
from application.ports.order_search import OrderFilter
from application.ports.rows import Format
from domain.errors import DomainError
from domain.ids import OrderId, customer_id

What = Literal["orders", "products", "events"]
# What is exported needs the same scope as a list of it.
NEEDS: Final[Mapping[What, Scope]] = MappingProxyType(
    {"orders": Scope.ORDERS_READ, "products": Scope.ORDERS_READ, "events": Scope.EVENTS_READ}
)
EVERYTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class InvalidExport(DomainError):
    """An export that is asked for with a filter that does not go with it."""

    code = "invalid_export"


def _each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: frozenset(map(read, values))


# What each kind may be filtered by, and how the value is read from JSON.
_READERS: Final[Mapping[What, Mapping[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        "orders": ORDER_FILTERS,
        "products": {"active": bool},
        "events": {"types": _each(str), "order_id": lambda text: OrderId(UUID(text)), "user_id": customer_id},
    }
)
FILTERS: Final[Mapping[What, tuple[str, ...]]] = MappingProxyType(
    {what: tuple(readers) for what, readers in _READERS.items()}
)


@frozen(kw_only=True)
class ExportRequest:
    """`only` is the filter in JSON, by the names that the lists over HTTP have for it."""

    what: What
    format: Format
    only: Mapping[str, Any] = field(default=EVERYTHING)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "ExportRequest":
        """Return the request that a job was given."""
        return cls(what=arguments["what"], format=arguments["format"], only=arguments["filter"])

    def arguments(self) -> dict[str, Any]:
        return {"what": self.what, "format": self.format, "filter": dict(self.only)}

    def expect_valid(self) -> None:
        """Raise `InvalidExport`."""
        if self.what not in get_args(What) or self.format not in get_args(Format):
            raise InvalidExport(f"there is no export of {self.what} as {self.format}")
        known = FILTERS[self.what]
        errors = [
            InvalidExport(
                f"an export of {self.what} has no such filter, only {', '.join(known)}", field=f"filter.{name}"
            )
            for name in self.only
            if name not in known
        ]
        if errors:
            raise InvalidExport(str(errors[0]), field=errors[0].field, others=errors[1:])

    @property
    def orders(self) -> OrderFilter:
        return order_filter(self.only)

    @property
    def events(self) -> FeedFilter:
        return FeedFilter(**self._read())

    @property
    def active(self) -> bool | None:
        active: bool | None = self._read().get("active")
        return active

    def _read(self) -> dict[str, Any]:
        readers = _READERS[self.what]
        return {name: readers[name](value) for name, value in self.only.items()}
