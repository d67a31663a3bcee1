"""Finding orders."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from attrs import evolve, frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.execution.counting import MOST_COUNTED
from application.exports.request import ExportRequest
from application.operations.bulk import NEEDS, ON_ORDERS, BulkRequest, ChosenOrders, FilterTooWide
from application.orders.find_by_id_part import IdPart
from application.ports.broken import BrokenOrder, broken, sound
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.order_choice import as_filter, chosen_orders
from entrypoints.http.console.order_query import InvalidSearch, OrderQuery, order_query
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.requests import RefusedAct, address, form, optional, parameters, start_once
from entrypoints.http.pages import Page, page_of
from entrypoints.http.query import Reader
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

PATH: Final = "/console/orders"
# How far new orders are counted for the pill.
_MOST_NEW: Final = 100


_PARAMETERS: Final[Mapping[str, Reader]] = {"q": str, "cursor": query.cursor}
_NEW: Final[Mapping[str, Reader]] = {"q": str, "newest": optional(query.order_id)}


def orders_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", PATH, Scope.ORDERS_READ, screen.show),
        Route("GET", f"{PATH}/new", Scope.ORDERS_READ, screen.new),
        Route("GET", f"{PATH}/many", frozenset(NEEDS[act] for act in ON_ORDERS), screen.many),
        Route("POST", f"{PATH}/export", Scope.ORDERS_READ, screen.export),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        sent = parameters(_PARAMETERS)
        text = sent.get("q", "").strip()
        try:
            wanted = order_query(text, self._kit.now())
        except InvalidSearch as error:
            return self._page(by, text, Page([], None), problem=error.rule)
        if wanted.order_id is not None:
            return see_other(f"{PATH}/{wanted.order_id}")
        if wanted.part is not None and not wanted.instead:
            return await self._by_part(by, text, wanted, wanted.part)
        page = await (self._waiting if wanted.waits else self._found)(by, wanted, sent.get("cursor"))
        if wanted.part is not None and not page.items:
            return await self._by_part(by, text, wanted, wanted.part)
        count = None
        if wanted.counted:
            status = next(iter(wanted.wanted.statuses), None)
            count = await self._kit.use_cases.count_orders(by, user_id=wanted.wanted.user_id, status=status)
        return self._page(by, text, page, count=count, first="cursor" not in sent)

    async def _found(self, by: Principal, wanted: OrderQuery, cursor: str | None) -> Page[Order | BrokenOrder]:
        cursors = self._kit.cursors.of_orders(wanted.wanted)
        before = None if cursor is None else cursors.start(cursor)
        found = await self._kit.use_cases.search_orders(by, wanted.wanted, before=before, limit=query.DEFAULT_LIMIT)
        return Page(found.orders, None if found.looked_to is None else cursors.after(found.looked_to))

    async def _by_part(self, by: Principal, text: str, wanted: OrderQuery, part: IdPart) -> Reply:
        """Show the orders whose ids have this part, or the one that it is."""
        found = await self._kit.use_cases.find_by_id_part(by, part, limit=query.DEFAULT_LIMIT)
        others = evolve(wanted.wanted, external_id=None) if wanted.instead else wanted.wanted
        orders = [order for order in found.orders if others.matches(order)]
        if len(orders) == 1 and not found.more:
            return see_other(f"{PATH}/{orders[0].id}")
        return self._page(by, text, Page(orders, None), more_by_part=found.more)

    async def _waiting(self, by: Principal, wanted: OrderQuery, cursor: str | None) -> Page[Order | BrokenOrder]:
        """Read a page of the orders that wait for the worker, and keep those that the other words choose."""
        stuck = wanted.waits == "stuck"
        cursors = self._kit.cursors.of_waiting_orders(stuck=stuck)
        page = await page_of(
            cursors,
            {"cursor": cursor} if cursor else {},
            lambda after, limit: self._kit.use_cases.list_waiting_orders(by, stuck=stuck, after=after, limit=limit),
            lambda each: each[0],
        )
        waiting = [order for _, order in page.items]
        shown = [each for each in waiting if isinstance(each, BrokenOrder) or wanted.wanted.matches(each)]
        return Page(shown, page.next)

    async def new(self, by: Principal) -> Reply:
        """How many orders are newer than those that are shown."""
        sent = parameters(_NEW)
        wanted = order_query(sent.get("q", ""), self._kit.now())
        found = await self._kit.use_cases.search_orders(by, wanted.wanted, limit=_MOST_NEW)
        newest = sent.get("newest")
        ids = [order.id for order in sound(found.orders)]
        count = ids.index(newest) if newest in ids else len(ids)
        return self._kit.pages.page(
            "orders_new.html", by, count=count, most=_MOST_NEW, q=sent.get("q", ""), newest=newest or ""
        )

    async def many(self, by: Principal) -> Reply:
        """Ask whether an act on many orders is meant, with their number."""
        # The id of each order that is chosen stands there.
        ids, q, act = request.args.getlist("id"), request.args.get("q", "").strip(), request.args.get("act")
        if act not in ON_ORDERS:
            return see_other(PATH)
        try:
            wanted = BulkRequest(act=act, only=chosen_orders(ids, q, self._kit.now()))
        except InvalidSearch as error:
            return self._page(by, q, Page([], None), problem=error.rule)
        try:
            return await many_page(self._kit, by, wanted, q=q)
        except FilterTooWide as error:
            return self._page(by, q, Page([], None), problem=str(error))

    async def export(self, by: Principal) -> Reply:
        sent = await form()
        wanted = order_query(sent.get("q", ""), self._kit.now())
        if not wanted.is_a_filter:
            raise InvalidSearch("an export has none of stuck:, waiting: and id: in its search")
        format_: Any = sent.get("format", "csv")
        export = ExportRequest(what="orders", format=format_, only=as_filter(wanted))
        job_id, is_as_sent = await start_once(partial(self._kit.use_cases.start_export, by), export, sent)
        done = "export-started" if is_as_sent else "started-before"
        return see_other(address(f"/console/jobs/{job_id}", done=done))

    def _page(self, by: Principal, text: str, page: Page[Order] | Page[Order | BrokenOrder], **more: Any) -> Reply:
        usual = {"problem": "", "count": None, "first": False, "more_by_part": False}
        return self._kit.pages.page(
            "orders.html",
            by,
            acts={act for act in ON_ORDERS if NEEDS[act] in by.scopes},
            q=text,
            find=text,
            page=Page(sound(page.items), page.next),
            broken=broken(page.items, BrokenOrder),
            statuses=list(OrderStatus),
            most=MOST_COUNTED,
            query=urlencode({"q": text}) if text else "",
            **usual | more,
        )


async def many_page(
    kit: Kit, by: Principal, wanted: BulkRequest, *, q: str, refused: RefusedAct | None = None
) -> Reply:
    """Ask whether an act on many orders is meant. `refused` is one for which something else has to be typed."""
    ids = wanted.only.ids if isinstance(wanted.only, ChosenOrders) else ()
    measured = await kit.use_cases.measure_bulk(by, wanted)
    status = HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT
    return kit.pages.page(
        "orders_many.html", by, status=status, act=wanted.act, ids=ids, q=q, measured=measured, refused=refused
    )
