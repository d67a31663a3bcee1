from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from domain.ids import OrderId
from entrypoints.http import examples, query
from entrypoints.http.bodies.messages import MessageBody, MessageContentBody, MessagesBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed, started
from entrypoints.http.ids import order_id_of
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

_KEY: Final = frozenset({IDEMPOTENCY_KEY})
_PARAMETERS: Final = {"limit": query.limit, "cursor": query.cursor}
_CONTENT: Final = msgspec.json.Decoder(MessageContentBody)


def messages_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    return [
        Route(
            "POST",
            "/messages",
            Scope.ORDERS_WRITE,
            handlers.post,
            honours=_KEY,
            body=_CONTENT,
            example=examples.MESSAGE_CONTENT,
            summary="Send a message",
            answers={HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
        ),
        Route(
            "GET",
            "/messages",
            Scope.ORDERS_READ,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List messages",
            answers={HTTPStatus.OK: examples.MESSAGES},
        ),
        Route(
            "POST",
            "/orders/<order_id>/messages",
            Scope.ORDERS_WRITE,
            handlers.post,
            honours=_KEY,
            body=_CONTENT,
            example=examples.MESSAGE_CONTENT,
            summary="Send a message about an order",
            answers={HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
        ),
        Route(
            "GET",
            "/orders/<order_id>/messages",
            Scope.ORDERS_READ,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List the messages about an order",
            answers={HTTPStatus.OK: examples.MESSAGES},
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def post(self, by: Principal, order_id: str | None = None) -> Reply:
        about = _order_id(order_id)
        content = (await read_json(_CONTENT)).content
        call = await keyed(content, scope=f"message {about or 'in general'}")
        return started(await self._use_cases.post_message(by, call, order_id=about), "/jobs")

    async def page(self, by: Principal, order_id: str | None = None) -> Reply:
        about = _order_id(order_id)
        wanted = query.parameters(request.query_string, _PARAMETERS)
        page = await page_of(
            self._cursors.of_messages(about),
            wanted,
            lambda before, limit: self._use_cases.list_messages(by, order_id=about, before=before, limit=limit),
            lambda message: message.id,
        )
        body = MessagesBody([MessageBody.of(message) for message in page.items], page.next)
        return page_reply(body)


def _order_id(text: str | None) -> OrderId | None:
    return None if text is None else order_id_of(text)
