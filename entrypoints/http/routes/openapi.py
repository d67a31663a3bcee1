"""The document that describes the HTTP interface, as OpenAPI 3.1 wants it.

It is made of the table of routes and of the types that read and write the JSON, so it says what the code does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import msgspec

from adapters.codecs.plain import plain
from application.access.scopes import Scope
from entrypoints.http.accept import JSON
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.ids import PATH_SCHEMAS
from entrypoints.http.prefix import V1
from entrypoints.http.problem_table import CATALOGUE
from entrypoints.http.problems import CONTENT_TYPE, Problem
from entrypoints.http.query import SCHEMAS
from entrypoints.http.request_ids import REQUEST_ID
from entrypoints.http.routes.route import Open, Route

_REF: Final = "#/components/schemas/{name}"
_PLACE: Final = re.compile(r"<(\w+)>")
_TEXT: Final = {"type": "string"}
_DESCRIPTION: Final = (
    "An order engine: it takes orders, reserves their stock and takes the money for them. Amounts are in minor units,"
    " times are RFC 3339 in UTC. Each address is also there behind /v1. Ignore fields that you don't know: new ones may"
    " be added at any time."
)
# What any request may be refused for: its form, its headers, its size, its pace, and the state of the servers.
_ANYWHERE: Final = frozenset({400, 406, 408, 412, 413, 415, 417, 422, 431, 500, 501, 503})
_TO_CALLERS: Final = frozenset({401, 403, 429})
_TAG: Final = '(W/)?"[!#-~]*"'
_TAGS: Final = {"type": "string", "pattern": rf"^(\*|{_TAG}(, {_TAG})*)$"}
_DATE: Final = {
    "type": "string",
    "pattern": "^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), (0[1-9]|1[0-9]|2[0-8])"
    " (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (19|20)[0-9]{2} ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9] GMT$",
}
_HEADERS: Final = {
    IDEMPOTENCY_KEY: (
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "The client's own name for this request. Sent again under it, the request has one effect.",
        "order-4711",
    ),
    "If-Match": (_TAGS, "Do it only if the entity tag is one of these.", '"v1"'),
    "If-None-Match": (_TAGS, "Do it only if the entity tag is none of these; on GET, 304 if it is one.", '"v2"'),
    "Range": (
        {"type": "string", "pattern": "^bytes=(0|[1-9][0-9]{0,8})-$"},
        "Only these bytes, to go on with a download that broke off.",
        "bytes=1048576-",
    ),
    "If-Range": (
        {"type": "string", "pattern": '^"[!#-~]*"$'},
        "Only a part if the entity tag is this one; otherwise all.",
        '"v1"',
    ),
    "If-Unmodified-Since": (
        _DATE,
        "Do it only if nothing has changed since this date.",
        "Fri, 06 Nov 2026 08:49:37 GMT",
    ),
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    found = sorted(routes, key=lambda route: (route.path, route.method))
    for route in found:
        paths.setdefault(_PLACE.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route)
    written = {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": version("holdfast"),
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Where this document was read, whatever that host is called.
        "servers": [{"url": "/"}, {"url": V1}],
        "tags": [{"name": tag} for tag in sorted({_tag(route) for route in found})],
        "paths": paths,
        "components": {
            "schemas": _schemas(found),
            "responses": dict(_refusals(found)),
            "headers": {
                REQUEST_ID: {
                    "schema": _TEXT,
                    "description": "The name of the request, also in the log.",
                    "required": True,
                }
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key or a token."}},
        },
    }
    return {key: _in_json_schema(value) for key, value in written.items()}


def _in_json_schema(part: Any) -> Any:
    r"""Return it with patterns as JSON Schema has them. There, `$` is the end of a text, which is `\Z` in Python."""
    if isinstance(part, Mapping):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" and isinstance(value, str) else _in_json_schema(value)
            for key, value in part.items()
        }
    return [_in_json_schema(each) for each in part] if isinstance(part, list) else part


def operation_id(route: Route) -> str:
    return " ".join([route.method.lower(), *re.findall(r"\w+", route.path)]).replace(" ", "_")


def _tag(route: Route) -> str:
    """The first word of the path: what the operation is about."""
    return route.path.split("/")[1].strip(".").partition(".")[0]


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [_tag(route)],
        "parameters": list(_parameters(route)),
        "responses": dict(_responses(route)),
        "security": _security(route),
    }
    if route.body is not None:
        content = {"schema": {"$ref": _REF.format(name=route.body.type.__name__)}}
        if route.example is not None:
            given = msgspec.to_builtins(route.example, enc_hook=plain)
            content["example"] = {name: value for name, value in given.items() if value is not None}
        operation["requestBody"] = {"required": route.needs_body, "content": {JSON: content}}
    if route.takes:
        file = {media_type: {"schema": _TEXT} for media_type in route.takes}
        operation["requestBody"] = {"required": True, "content": file}
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    match route.access:
        case Open.TO_ALL:
            return []
        case Open.TO_CALLERS:
            return [{"key": []}]
        case Scope():
            return [{"key": [route.access.value]}]
    return [{"key": [scope.value]} for scope in sorted(route.access)]


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in _PLACE.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": PATH_SCHEMAS.get(name, _TEXT)}
    for name, reader in route.parameters.items():
        needed = {"required": True} if name in route.needs else {}
        yield {"name": name, "in": "query", "schema": SCHEMAS.get(reader, _TEXT), **needed}
    for name, (schema, meaning, example) in _HEADERS.items():
        if name in route.honours:
            yield {"name": name, "in": "header", "schema": schema, "description": meaning, "example": example}


# RFC 9110, sections 15.3.5 and 15.4.5.
_WITHOUT_CONTENT: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def _responses(route: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, example in route.answers.items():
        response: dict[str, Any] = {"description": status.phrase, "headers": {REQUEST_ID: _ref("headers", REQUEST_ID)}}
        if isinstance(example, msgspec.Struct):
            schema = {"$ref": _REF.format(name=type(example).__name__)}
            response["content"] = {JSON: {"schema": schema, "example": msgspec.to_builtins(example, enc_hook=plain)}}
        for media_type in () if status in _WITHOUT_CONTENT else route.produces:
            if media_type != JSON or example is ...:
                response.setdefault("content", {})[media_type] = {}
        yield str(status.value), response
    for code in sorted(statuses_of_refusals(route) - {status.value for status in route.answers}):
        yield str(int(code)), _ref("responses", str(int(code)))


def statuses_of_refusals(route: Route) -> frozenset[int]:
    """Return the statuses with which a request to this route may be refused."""
    found = _ANYWHERE | route.refusals
    if route.access is not Open.TO_ALL:
        found |= _TO_CALLERS
    if _PLACE.search(route.path):
        found |= {HTTPStatus.NOT_FOUND}
    if IDEMPOTENCY_KEY in route.honours:
        found |= {HTTPStatus.CONFLICT}
    return found


def _refusals(routes: Iterable[Route]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The refusals of these routes by their status, each with the codes that it can have."""
    by_status: dict[int, list[str]] = {status: [] for route in routes for status in statuses_of_refusals(route)}
    for kind in CATALOGUE.values():
        if kind.status in by_status:
            by_status[kind.status].append(f"`{kind.code}`: {kind.title}.")
    for status, codes in sorted(by_status.items()):
        yield (
            str(int(status)),
            {
                "description": " ".join(codes) or HTTPStatus(status).phrase,
                "headers": {REQUEST_ID: _ref("headers", REQUEST_ID)},
                "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}},
            },
        )


def _schemas(routes: Iterable[Route]) -> Mapping[str, Any]:
    types: dict[type, None] = {Problem: None}
    for route in routes:
        if route.body is not None:
            types[route.body.type] = None
        types.update((type(example), None) for example in route.answers.values() if isinstance(example, msgspec.Struct))
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    return components


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
