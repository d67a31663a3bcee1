from typing import Final

import msgspec
from attrs import define, field

from entrypoints.http.asyncapi import document
from entrypoints.http.replies import Reply, json_document
from entrypoints.http.routes.route import Open, Route

_INDENT: Final = 2


def documents_routes(namespace: str) -> list[Route]:
    return [Route("GET", "/asyncapi.json", Open.TO_ALL, _Handlers(namespace).asyncapi)]


@define
class _Handlers:
    _namespace: str
    # Made when it is first asked for, so that no start waits for it.
    _asyncapi: bytes | None = field(default=None, init=False)

    async def asyncapi(self) -> Reply:
        if self._asyncapi is None:
            self._asyncapi = msgspec.json.format(msgspec.json.encode(document(self._namespace)), indent=_INDENT)
        return json_document(self._asyncapi)
