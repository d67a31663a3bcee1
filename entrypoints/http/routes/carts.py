from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.intake.queue_orders import Queued
from entrypoints.http import examples
from entrypoints.http.bodies.carts import CartBody, OrderCartBody, PutItemBody
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import answered, key_in, queued
from entrypoints.http.ids import customer_in_path, product_id_of
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.orders import accepted, created
from entrypoints.http.routes.route import Route

_PUT: Final = msgspec.json.Decoder(PutItemBody)
_ORDER: Final = msgspec.json.Decoder(OrderCartBody)


def carts_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    cart, item = "/carts/<user_id>", "/carts/<user_id>/items/<product_id>"
    answers = {HTTPStatus.OK: examples.CART}
    return [
        Route("GET", cart, Scope.ORDERS_READ, handlers.get, summary="Read a cart", answers=answers),
        Route("DELETE", cart, Scope.ORDERS_WRITE, handlers.empty, summary="Empty a cart", answers=answers),
        Route(
            "PUT",
            item,
            Scope.ORDERS_WRITE,
            handlers.put,
            body=_PUT,
            example=examples.PUT_ITEM,
            summary="Put so many units of a product into a cart",
            answers=answers,
        ),
        Route(
            "DELETE", item, Scope.ORDERS_WRITE, handlers.remove, summary="Take a product out of a cart", answers=answers
        ),
        Route(
            "POST",
            "/carts/<user_id>/order",
            Scope.ORDERS_WRITE,
            handlers.order,
            honours=frozenset({IDEMPOTENCY_KEY}),
            body=_ORDER,
            needs_body=False,
            summary="Order what is in a cart",
            answers={HTTPStatus.CREATED: examples.ORDER, HTTPStatus.ACCEPTED: examples.ORDER},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def get(self, by: Principal, user_id: str) -> Reply:
        owner = customer_in_path(user_id)
        return reply(CartBody.of(owner, await self._use_cases.get_cart(by, owner)))

    async def empty(self, by: Principal, user_id: str) -> Reply:
        owner = customer_in_path(user_id)
        return reply(CartBody.of(owner, await self._use_cases.empty_cart(by, owner)))

    async def put(self, by: Principal, user_id: str, product_id: str) -> Reply:
        owner, id_ = customer_in_path(user_id), product_id_of(product_id)
        body = await read_json(_PUT)
        return reply(CartBody.of(owner, await self._use_cases.put_item(by, owner, id_, body.quantity)))

    async def remove(self, by: Principal, user_id: str, product_id: str) -> Reply:
        owner, id_ = customer_in_path(user_id), product_id_of(product_id)
        return reply(CartBody.of(owner, await self._use_cases.empty_cart(by, owner, id_)))

    async def order(self, by: Principal, user_id: str) -> Reply:
        owner = customer_in_path(user_id)
        await read_json_if_any(_ORDER)
        outcome = await self._use_cases.order_cart(by, owner, key=key_in(request.headers))
        return queued(outcome, accepted) if isinstance(outcome, Queued) else answered(outcome, created)
