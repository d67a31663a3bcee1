"""Lists of orders, and the search for them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import evolve, frozen
from msgspec import UNSET
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.ports.broken import BrokenOrder, broken, sound
from application.ports.order_search import OrderFilter
from domain.orders.order import Order
from entrypoints.http import examples, query
from entrypoints.http.bodies.orders import BrokenOrderBody, OrderBody, OrdersBody, SearchOrdersBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json
from entrypoints.http.filters import order_filter
from entrypoints.http.pages import Page, page_of, page_reply
from entrypoints.http.refusals import InvalidCursor, InvalidRequest, in_body, in_query
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

_NOT_COUNTED: Final = "a list by user_id and status alone is counted: a search looks at a part of the orders"
_PARAMETERS: Final = {
    "user_id": query.user_id,
    "status": query.status,
    "product_id": query.product_id,
    "external_id": query.external_id,
    "email": query.email,
    "placed_after": query.placed_after,
    "placed_before": query.placed_before,
    "total_min": query.total_min,
    "total_max": query.total_max,
    "q": query.words,
    "limit": query.limit,
    "cursor": query.cursor,
    "count": query.count,
}
# A list of these has an index of its own.
_LISTED: Final = frozenset({"user_id", "status"})
_SEARCH: Final = msgspec.json.Decoder(SearchOrdersBody)


def order_lists_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    return [
        Route(
            "GET",
            "/orders",
            Scope.ORDERS_READ,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List orders, newest first",
            answers={HTTPStatus.OK: examples.ORDERS},
        ),
        Route(
            "POST",
            "/orders/search",
            Scope.ORDERS_READ,
            handlers.search,
            body=_SEARCH,
            example=examples.SEARCH_ORDERS,
            summary="Search for orders",
            answers={HTTPStatus.OK: examples.ORDERS},
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        paging: dict[str, Any] = {name: wanted.pop(name) for name in ("limit", "cursor", "count") if name in wanted}
        chosen = order_filter(wanted)
        page = await (self._listed if wanted.keys() <= _LISTED else self._found)(by, chosen, paging)
        return page_reply(_page(page))

    async def search(self, by: Principal) -> Reply:
        body = await read_json(_SEARCH)
        try:
            return reply(_page(await self._found(by, body.wanted(), {"limit": body.limit, "cursor": body.cursor})))
        except InvalidCursor as error:
            raise InvalidCursor(*(in_body("cursor", each.detail) for each in error.errors)) from None

    async def _listed(self, by: Principal, wanted: OrderFilter, paging: Mapping[str, Any]) -> Page[Order | BrokenOrder]:
        """Return a page of the orders of one customer or of one status, or of all orders."""
        wanted = evolve(wanted, user_id=by.whose(wanted.user_id))
        status = next(iter(wanted.statuses), None)
        return await page_of(
            self._cursors.of_orders(wanted),
            paging,
            lambda before, limit: self._use_cases.list_orders(
                by, user_id=wanted.user_id, status=status, before=before, limit=limit
            ),
            lambda order: order.id,
            lambda: self._use_cases.count_orders(by, user_id=wanted.user_id, status=status),
        )

    async def _found(self, by: Principal, wanted: OrderFilter, paging: Mapping[str, Any]) -> Page[Order | BrokenOrder]:
        """Return a page of what a search has found, which ends where the search has looked to."""
        wanted = evolve(wanted, user_id=by.whose(wanted.user_id))
        cursors, cursor = self._cursors.of_orders(wanted), paging.get("cursor")
        counted = in_query("count", _NOT_COUNTED, "unknown") if "count" in paging else None
        try:
            before = None if cursor is None else cursors.start(cursor)
        except InvalidCursor as error:
            raise error if counted is None else InvalidRequest(counted, *error.errors) from None
        if counted is not None:
            raise InvalidRequest(counted)
        found = await self._use_cases.search_orders(
            by, wanted, before=before, limit=paging.get("limit", query.DEFAULT_LIMIT)
        )
        return Page(found.orders, None if found.looked_to is None else cursors.after(found.looked_to))


def _page(page: Page[Order | BrokenOrder]) -> OrdersBody:
    left_out = [BrokenOrderBody.of(order) for order in broken(page.items, BrokenOrder)]
    return OrdersBody([OrderBody.of(order) for order in sound(page.items)], page.next, page.count, left_out or UNSET)
