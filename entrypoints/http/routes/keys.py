from datetime import timedelta
from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from entrypoints.http import examples, query
from entrypoints.http.bodies.keys import IssuedKeyBody, KeyBody, KeysBody, NewKeyBody, RotateKeyBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.moments import overlap_in
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.http.replies import Reply, no_content, reply
from entrypoints.http.routes.route import Route

_PARAMETERS: Final = {"limit": query.limit, "cursor": query.cursor}
_NEW_KEY: Final = msgspec.json.Decoder(NewKeyBody)
_ROTATE: Final = msgspec.json.Decoder(RotateKeyBody)


def keys_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    return [
        Route(
            "POST",
            "/keys",
            Scope.KEYS_WRITE,
            handlers.create,
            body=_NEW_KEY,
            example=examples.NEW_KEY,
            summary="Make a key, and show it once",
            answers={HTTPStatus.CREATED: examples.ISSUED_KEY},
        ),
        Route(
            "GET",
            "/keys",
            Scope.KEYS_WRITE,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List keys",
            answers={HTTPStatus.OK: examples.KEYS},
        ),
        Route(
            "POST",
            "/keys/<key_id>/rotate",
            Scope.KEYS_WRITE,
            handlers.rotate,
            body=_ROTATE,
            needs_body=False,
            summary="Replace a key by a new one",
            answers={HTTPStatus.CREATED: examples.ISSUED_KEY},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "DELETE",
            "/keys/<key_id>",
            Scope.KEYS_WRITE,
            handlers.revoke,
            summary="End a key",
            answers={HTTPStatus.NO_CONTENT: None},
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def create(self, by: Principal) -> Reply:
        body = await read_json(_NEW_KEY)
        return reply(IssuedKeyBody.of(await self._use_cases.create_key(by, body.to_new())), HTTPStatus.CREATED)

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        page = await page_of(
            self._cursors.of_keys(),
            wanted,
            lambda after, limit: self._use_cases.list_keys(by, after=after, limit=limit),
            lambda key: key.id,
        )
        return page_reply(KeysBody([KeyBody.of(key) for key in page.items], page.next))

    async def rotate(self, by: Principal, key_id: str) -> Reply:
        body = await read_json_if_any(_ROTATE)
        overlap = timedelta(0) if body is None else _overlap(body.overlap)
        return reply(
            IssuedKeyBody.of(await self._use_cases.rotate_key(by, key_id, overlap=overlap)), HTTPStatus.CREATED
        )

    async def revoke(self, by: Principal, key_id: str) -> Reply:
        await self._use_cases.revoke_key(by, key_id)
        return no_content()


def _overlap(text: str) -> timedelta:
    try:
        return overlap_in(text)
    except ValueError as error:
        raise InvalidRequest(in_body("overlap", str(error))) from None
