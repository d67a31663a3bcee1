"""The parameters of a list of orders as a filter."""

from collections.abc import Mapping
from typing import Any

from application.ports.order_search import OrderFilter
from entrypoints.http.ids import order_id_of
from entrypoints.http.refusals import InvalidRequest, NotAnId, in_query


def order_filter(sent: Mapping[str, Any]) -> OrderFilter:
    """Return what the parameters ask for. Raise `InvalidRequest` if `q` and another say two things about one part."""
    given = {name: value for name, value in sent.items() if name not in {"status", "product_id", "q"}}
    if "q" in sent:
        name, value = _meant(sent["q"])
        if name in given:
            raise InvalidRequest(in_query("q", f"here it means {name}, which is sent as well: send one of them"))
        given[name] = value
    return OrderFilter(
        **given,
        statuses=frozenset({sent["status"]} if "status" in sent else ()),
        product_ids=frozenset({sent["product_id"]} if "product_id" in sent else ()),
    )


def _meant(text: str) -> tuple[str, Any]:
    """Return which parameter this text stands for, by its form, and its value."""
    try:
        return "order_id", order_id_of(text)
    except NotAnId:
        return ("email" if "@" in text else "external_id"), text
