from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.catalogue.adjust_stock import StockCall
from application.catalogue.change_product import ProductCall
from application.execution.idempotency import ProductOutcome, Replayed
from application.ports.broken import sound
from domain.catalogue.product import Product
from entrypoints.http import examples, query
from entrypoints.http.bodies.products import (
    AdjustmentBody,
    AdjustmentsBody,
    AdjustStockBody,
    ChangeProductBody,
    NewProductBody,
    ProductBody,
    ProductsBody,
)
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import answered, keyed
from entrypoints.http.ids import product_id_of
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.preconditions import TAGS, EntityTags, etag_of
from entrypoints.http.prefix import here
from entrypoints.http.replies import Reply, not_modified, reply
from entrypoints.http.routes.route import Open, Route

_KEY: Final = frozenset({IDEMPOTENCY_KEY})
_PARAMETERS: Final = {
    "active": query.active,
    "limit": query.limit,
    "cursor": query.cursor,
    "count": query.count,
}
_ADJUSTMENTS: Final = {"limit": query.limit, "cursor": query.cursor}
_NEW: Final = msgspec.json.Decoder(NewProductBody)
_CHANGE: Final = msgspec.json.Decoder(ChangeProductBody)
_ADJUST: Final = msgspec.json.Decoder(AdjustStockBody)


def products_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    one, stock = "/products/<product_id>", "/products/<product_id>/stock"
    return [
        Route(
            "GET",
            "/products",
            Open.TO_CALLERS,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List products",
            answers={HTTPStatus.OK: examples.PRODUCTS},
        ),
        Route(
            "POST",
            "/products",
            Scope.PRODUCTS_WRITE,
            handlers.add,
            honours=_KEY,
            body=_NEW,
            example=examples.NEW_PRODUCT,
            summary="Add a product",
            answers={HTTPStatus.CREATED: examples.PRODUCT},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "GET",
            one,
            Open.TO_CALLERS,
            handlers.get,
            honours=TAGS,
            summary="Read a product",
            answers={HTTPStatus.OK: examples.PRODUCT, HTTPStatus.NOT_MODIFIED: None},
        ),
        Route(
            "PATCH",
            one,
            Scope.PRODUCTS_WRITE,
            handlers.change,
            honours=TAGS,
            body=_CHANGE,
            example=examples.CHANGE_PRODUCT,
            summary="Change a product",
            answers={HTTPStatus.OK: examples.PRODUCT},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "GET",
            stock,
            Scope.STOCK_ADJUST,
            handlers.adjustments,
            parameters=_ADJUSTMENTS,
            summary="List the adjustments of a stock",
            answers={HTTPStatus.OK: examples.ADJUSTMENTS},
        ),
        Route(
            "POST",
            stock,
            Scope.STOCK_ADJUST,
            handlers.adjust,
            honours=TAGS | _KEY,
            body=_ADJUST,
            example=examples.ADJUST_STOCK,
            summary="Adjust a stock",
            answers={HTTPStatus.OK: examples.PRODUCT},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        active = wanted.get("active", True)
        page = await page_of(
            self._cursors.of_products(active=active),
            wanted,
            lambda after, limit: self._use_cases.list_products(by, after=after, limit=limit, active=active),
            lambda product: product.id,
            lambda: self._use_cases.count_products(by, active=active),
        )
        body = ProductsBody([ProductBody.of(product) for product in sound(page.items)], page.next, page.count)
        return page_reply(body)

    async def get(self, by: Principal, product_id: str) -> Reply:
        tags = EntityTags.of(request.headers)
        product = await self._use_cases.get_product(by, product_id_of(product_id))
        if tags.spare_body(product):
            return not_modified(etag_of(product))
        return _shown(product)

    async def add(self, by: Principal) -> Reply:
        new = await keyed((await read_json(_NEW)).to_new(), scope="products")
        [outcome] = await self._use_cases.add_products(by, [new])
        return answered(_or_raise(outcome), _created)

    async def change(self, by: Principal, product_id: str) -> Reply:
        id_ = product_id_of(product_id)
        edit = (await read_json(_CHANGE)).to_edit()
        holds = EntityTags.of(request.headers).allow_change
        return _shown(await self._use_cases.change_product(by, ProductCall(product_id=id_, edit=edit, holds=holds)))

    async def adjust(self, by: Principal, product_id: str) -> Reply:
        id_ = product_id_of(product_id)
        body = await read_json(_ADJUST)
        call = StockCall(
            product_id=id_,
            delta=body.delta,
            reason=body.reason,
            expected=body.expected,
            holds=EntityTags.of(request.headers).allow_change,
        )
        [outcome] = await self._use_cases.adjust_stock(by, [await keyed(call, scope=f"product {id_}")])
        return answered(_or_raise(outcome), _shown)

    async def adjustments(self, by: Principal, product_id: str) -> Reply:
        id_ = product_id_of(product_id)
        wanted = query.parameters(request.query_string, _ADJUSTMENTS)
        page = await page_of(
            self._cursors.of_adjustments(id_),
            wanted,
            lambda before, limit: self._use_cases.list_adjustments(by, id_, before=before, limit=limit),
            lambda made: made.number,
        )
        body = AdjustmentsBody([AdjustmentBody.of(made.adjustment) for made in page.items], page.next)
        return page_reply(body)


def _or_raise(outcome: ProductOutcome) -> Product | Replayed:
    """Return the answer. Raise it if it is a refusal."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _shown(product: Product, status: HTTPStatus = HTTPStatus.OK, *headers: tuple[str, str]) -> Reply:
    return reply(ProductBody.of(product), status, ("ETag", etag_of(product)), *headers)


def _created(product: Product) -> Reply:
    return _shown(product, HTTPStatus.CREATED, ("Location", here(f"/products/{product.id}")))
