"""The orders that somebody has chosen: some by their ids, or all that a search finds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import ValidationError, convert

from application.operations.bulk import MOST_CHOSEN, ChosenOrders
from entrypoints.http.bodies.order_filter import OrderFilterBody
from entrypoints.http.console.order_query import InvalidSearch, OrderQuery, order_query
from entrypoints.http.ids import order_id_of


def chosen_orders(ids: Sequence[str], q: str, now: datetime) -> ChosenOrders:
    """Raise `InvalidSearch`, or `NotAnId`."""
    if len(ids) > MOST_CHOSEN:
        raise InvalidSearch(f"at most {MOST_CHOSEN} orders are chosen one by one: search for them")
    if ids:
        return ChosenOrders(ids=tuple(map(order_id_of, ids)))
    wanted = order_query(q, now)
    if wanted.order_id is not None:
        return ChosenOrders(ids=(wanted.order_id,))
    if not wanted.is_a_filter or not wanted.as_export():
        raise InvalidSearch("choose some orders, or search for them by something else than stuck:, waiting: and id:")
    return ChosenOrders(only=as_filter(wanted))


def as_filter(wanted: OrderQuery) -> dict[str, Any]:
    """Return the filter of a job in JSON. Raise `InvalidSearch` for what the API would not take either."""
    only = wanted.as_export()
    try:
        convert(only, OrderFilterBody)
    except ValidationError as error:
        raise InvalidSearch(f"this can't be searched for: {error}") from None
    return only
