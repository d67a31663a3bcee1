from attrs import frozen
from quart import request

from application.assembly import UseCases
from entrypoints.http import cursors
from entrypoints.http.bodies import ProductBody, ProductsBody
from entrypoints.http.ids import product_id_of
from entrypoints.http.query import Query
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route


def products_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    return [
        Route("GET", "/products", handlers.page),
        Route("GET", "/products/<product_id>", handlers.get),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def page(self) -> Reply:
        query = Query.of(request.query_string, "limit", "cursor")
        limit = query.limit()
        # One more than is shown tells whether there is a next page.
        products = await self._use_cases.list_products(after=query.cursor(cursors.product_at), limit=limit + 1)
        shown = products[:limit]
        following = cursors.after_product(shown[-1].id) if len(products) > limit else None
        return reply(ProductsBody([ProductBody.of(product) for product in shown], following))

    async def get(self, product_id: str) -> Reply:
        return reply(ProductBody.of(await self._use_cases.get_product(product_id_of(product_id))))
