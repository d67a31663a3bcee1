"""Compares each response that the tests get with `/openapi.json`."""

from collections.abc import Collection
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from entrypoints.http.cors import EXPOSED
from entrypoints.http.prefix import split
from entrypoints.http.routes import openapi
from entrypoints.http.routes.route import Route

_EXPOSED = frozenset(map(str.lower, EXPOSED))
# What every page can read (Fetch, "CORS-safelisted response-header name"), and what is for browsers and proxies.
_NOT_FOR_PAGES = frozenset(
    {
        "cache-control", "content-length", "content-type", "accept-encoding", "access-control-allow-headers",
        "access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers",
        "access-control-max-age", "connection", "content-security-policy", "vary", "x-accel-buffering",
        "x-content-type-options",
    }
)  # fmt: skip

Operations = dict[str, dict[str, Any]]

# By the names of the routes: the apps of all tests have the same, and to make this takes a while.
_MADE: dict[tuple[str, ...], Operations] = {}


def expect_described(app: Quart, method: str, path: str, response: Response, content: bytes) -> None:
    """Raise `AssertionError` if the document does not have this response to a request for one of its paths."""
    unread = {name for name in map(str.lower, response.headers.keys()) if name not in _EXPOSED | _NOT_FOR_PAGES}
    assert not unread, f"{method} {path}: no page of another origin can read {', '.join(unread)}: see cors.py"
    routes: dict[str, Route] = app.routes  # type: ignore[attr-defined]
    try:
        endpoint, _ = app.url_map.bind("localhost").match(split(path)[1], method="GET" if method == "HEAD" else method)
    except HTTPException:
        return
    # The requests of other systems are described in theirs.
    if endpoint not in routes or routes[endpoint].wording is not None:
        return
    names = tuple(routes)
    if names not in _MADE:
        _MADE[names] = _operations([route for route in routes.values() if route.wording is None])
    described, status = _MADE[names][openapi.operation_id(routes[endpoint])], response.status_code
    assert str(status) in described, f"{method} {path}: {status} is not in the document"
    contents = described[str(status)].get("content", {})
    if status in {204, 304}:
        assert not contents, f"{method} {path}: {status} has no content, and has some in the document"
    if not content:
        return
    media_type = response.headers["Content-Type"].partition(";")[0]
    assert media_type in contents, f"{method} {path}: {status} with {media_type} is not in the document"
    if (validator := contents[media_type]) is not None:
        validator.validate(msgspec.json.decode(content))


def _operations(routes: Collection[Route]) -> Operations:
    """The responses of each operation by status, with a validator for each media type that has a schema."""
    document = msgspec.json.decode(msgspec.json.encode(openapi.document(routes)))
    components = document["components"]

    def described(response: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in response:
            response = components["responses"][response["$ref"].rpartition("/")[2]]
        contents = {
            media_type: Draft202012Validator(
                {**each["schema"], "components": components}, format_checker=Draft202012Validator.FORMAT_CHECKER
            )
            if "schema" in each
            else None
            for media_type, each in response.get("content", {}).items()
        }
        return {"content": contents}

    return {
        operation["operationId"]: {status: described(response) for status, response in operation["responses"].items()}
        for methods in document["paths"].values()
        for operation in methods.values()
    }
