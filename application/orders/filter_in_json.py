"""The filter of orders in JSON, as jobs keep it, by the names that the lists over HTTP have for its parts."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from application.ports.order_search import OrderFilter
from domain.ids import ProductId, customer_id
from domain.orders.status import OrderStatus


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: frozenset(map(read, values))


# How each value is read from JSON.
ORDER_FILTERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "user_id": customer_id,
        "status": _each(OrderStatus),
        "product_id": _each(ProductId),
        "external_id": str,
        "email": str,
        "placed_after": _moment,
        "placed_before": _moment,
        "total_min": int,
        "total_max": int,
    }
)
_FIELDS: Final = {"status": "statuses", "product_id": "product_ids"}


def order_filter(only: Mapping[str, Any]) -> OrderFilter:
    return OrderFilter(**{_FIELDS.get(name, name): ORDER_FILTERS[name](value) for name, value in only.items()})
