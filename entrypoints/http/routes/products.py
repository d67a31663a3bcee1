from typing import Final

from attrs import frozen
from quart import request

from application.assembly import UseCases
from entrypoints.http import cursors, query
from entrypoints.http.bodies import ProductBody, ProductsBody
from entrypoints.http.ids import product_id_of
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

_PARAMETERS: Final = {"limit": query.limit, "cursor": cursors.product_at}


def products_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    return [
        Route("GET", "/products", handlers.page, parameters=_PARAMETERS),
        Route("GET", "/products/<product_id>", handlers.get),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def page(self) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        limit = wanted.get("limit", query.DEFAULT_LIMIT)
        # One more than is shown tells whether there is a next page.
        products = await self._use_cases.list_products(after=wanted.get("cursor"), limit=limit + 1)
        shown = products[:limit]
        following = cursors.after_product(shown[-1].id) if len(products) > limit else None
        return reply(ProductsBody([ProductBody.of(product) for product in shown], following))

    async def get(self, product_id: str) -> Reply:
        return reply(ProductBody.of(await self._use_cases.get_product(product_id_of(product_id))))
