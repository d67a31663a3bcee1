from http import HTTPStatus
from typing import Final

from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.assembly import UseCases
from entrypoints.http import query
from entrypoints.http.bodies import ProductBody, ProductsBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.ids import product_id_of
from entrypoints.http.links import next_page
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Open, Route

_PARAMETERS: Final = {"limit": query.limit, "cursor": query.cursor}


def products_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    return [
        Route("GET", "/products", Open.TO_CALLERS, handlers.page, parameters=_PARAMETERS),
        Route("GET", "/products/<product_id>", Open.TO_CALLERS, handlers.get),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        limit, cursor = wanted.get("limit", query.DEFAULT_LIMIT), wanted.get("cursor")
        after = None if cursor is None else self._cursors.product_at(cursor)
        # One more than is shown tells whether there is a next page.
        products = await self._use_cases.list_products(by, after=after, limit=limit + 1)
        shown = products[:limit]
        following = self._cursors.after_product(shown[-1].id) if len(products) > limit else None
        return reply(
            ProductsBody([ProductBody.of(product) for product in shown], following),
            HTTPStatus.OK,
            *next_page(following),
        )

    async def get(self, by: Principal, product_id: str) -> Reply:
        return reply(ProductBody.of(await self._use_cases.get_product(by, product_id_of(product_id))))
