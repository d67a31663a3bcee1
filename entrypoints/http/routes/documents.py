"""The documents that describe the service, for programs and for people. Each is made when it is first asked for."""

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import define, field
from quart import request

from adapters.codecs.plain import plain
from entrypoints.http import asyncapi
from entrypoints.http.accept import HTML, JSON
from entrypoints.http.docs_page import STYLE, docs_page
from entrypoints.http.preconditions import is_known
from entrypoints.http.replies import Reply, document, not_modified
from entrypoints.http.routes import openapi
from entrypoints.http.routes.route import Open, Route

_INDENT: Final = 2
_CSS: Final = "text/css"


def documents_routes(namespace: str, routes: Mapping[str, Route]) -> list[Route]:
    """Return the routes to the documents. `routes` are all routes, once the interface is made."""

    def http() -> dict[str, Any]:
        """The requests of other systems are described in theirs."""
        return openapi.document(route for route in routes.values() if route.wording is None)

    def route(path: str, media_type: str, summary: str, make: Callable[[], bytes]) -> Route:
        return Route(
            "GET",
            path,
            Open.TO_ALL,
            _Document(media_type, make).get,
            summary=summary,
            answers={HTTPStatus.OK: ..., HTTPStatus.NOT_MODIFIED: None},
            produces=(media_type,),
        )

    return [
        route("/openapi.json", JSON, "Read this document", lambda: _json(http())),
        route("/asyncapi.json", JSON, "Read the document about events", lambda: _json(asyncapi.document(namespace))),
        route("/docs", HTML, "Read this document as a page", lambda: docs_page(http())),
        route("/docs/style.css", _CSS, "Get the style of the page", partial(STYLE.encode)),
    ]


def _json(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, enc_hook=plain), indent=_INDENT)


@define
class _Document:
    _media_type: str
    _make: Callable[[], bytes]
    # So that no start waits for it.
    _content: bytes | None = field(default=None, init=False)
    _etag: str = field(default="", init=False)

    async def get(self) -> Reply:
        if self._content is None:
            self._content = self._make()
            self._etag = f'"{blake2b(self._content, digest_size=12).hexdigest()}"'
        if is_known(self._etag, request.headers):
            return not_modified(self._etag)
        return document(self._content, self._media_type, self._etag)
