"""What is on hand, and why it is so many."""

from typing import Final

from attrs import evolve, frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.catalogue.adjust_stock import StockCall
from application.ports.broken import BrokenProduct, broken, sound
from domain.errors import DomainError
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.requests import address, form, parameters, whole_number
from entrypoints.http.ids import product_id_of
from entrypoints.http.pages import page_of
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

_LIST: Final = {"cursor": query.cursor}
_ONE: Final = "/console/stock/<product_id>"


def stock_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", "/console/stock", Scope.STOCK_ADJUST, screen.show),
        Route("GET", _ONE, Scope.STOCK_ADJUST, screen.product),
        Route("POST", f"{_ONE}/adjust", Scope.STOCK_ADJUST, screen.adjust),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        page = await page_of(
            self._kit.cursors.of_stock(),
            parameters(_LIST),
            lambda after, limit: self._kit.use_cases.list_stock(by, after=after, limit=limit),
            lambda stocked: stocked.id,
        )
        return self._kit.pages.page(
            "stock.html", by, page=evolve(page, items=sound(page.items)), broken=broken(page.items, BrokenProduct)
        )

    async def product(self, by: Principal, product_id: str) -> Reply:
        id_ = product_id_of(product_id)
        stocked = await self._kit.use_cases.see_stock(by, id_)
        page = await page_of(
            self._kit.cursors.of_adjustments(id_),
            parameters(_LIST),
            lambda before, limit: self._kit.use_cases.list_adjustments(by, id_, before=before, limit=limit),
            lambda recorded: recorded.number,
        )
        names = await self._kit.names_of(by, [recorded.adjustment.made_by for recorded in page.items])
        return self._kit.pages.page("stock_product.html", by, stocked=stocked, page=page, names=names)

    async def adjust(self, by: Principal, product_id: str) -> Reply:
        id_, sent = product_id_of(product_id), await form()
        version, delta = whole_number(sent, "version"), whole_number(sent, "delta")
        if delta == 0:
            raise InvalidRequest(in_body("delta", "0 units change nothing"))
        call = StockCall(
            product_id=id_,
            delta=delta,
            reason=sent.get("reason", "").strip(),
            holds=lambda product: product.version == version,
        )
        [outcome] = await self._kit.use_cases.adjust_stock(by, [call])
        if isinstance(outcome, DomainError):
            raise outcome
        return see_other(address(f"/console/stock/{id_}", done="stock-adjusted"))
