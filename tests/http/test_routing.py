"""The rule of a request is found in a dictionary where its path is fixed. It is the one that Werkzeug would find."""

from types import SimpleNamespace
from typing import Any

import pytest
from quart import Quart
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from entrypoints.http.server.routing import BoundRules, fixed_rules

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"]


def found_by(routes: MapAdapter) -> tuple[str, dict[str, object]] | type[HTTPException]:
    try:
        rule, values = routes.match(return_rule=True)
    except HTTPException as error:
        return type(error)
    return rule.endpoint, dict(values)


def paths_of(app: Quart) -> list[str]:
    """Each path of a rule, with ids in place of its names, and paths that are nearly one."""
    paths = {rule.rule.split("<")[0] + "1" * ("<" in rule.rule) for rule in app.url_map.iter_rules()}
    return sorted({each + more for each in paths for more in ("", "/", "x", "//")} | {"", "/", "//orders", "/ORDERS"})


def bound(app: Quart, method: str, path: str) -> BoundRules:
    request: Any = SimpleNamespace(root_path="", scheme="http", path=path, method=method)
    return BoundRules(app.url_map, fixed_rules(app.url_map), request)


@pytest.mark.parametrize("method", METHODS)
def test_each_path_has_the_rule_that_werkzeug_finds(app: Quart, method: str) -> None:
    for path in paths_of(app):
        plain = app.url_map.bind("localhost", path_info=path, default_method=method)
        assert found_by(bound(app, method, path)) == found_by(plain), path


async def test_a_request_to_a_fixed_path_is_not_looked_for(app: Quart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a Quart that asks in another way."""

    def no_walk(*_: object, **__: object) -> object:
        raise AssertionError("the rules were walked over")

    monkeypatch.setattr(MapAdapter, "match", no_walk)
    assert (await app.test_client().get("/health/live")).status_code == 200


def test_a_request_gets_values_of_its_own(app: Quart) -> None:
    """The caller is put among them."""
    routes = bound(app, "GET", "/orders")
    _, first = routes.match(return_rule=True)
    _, second = routes.match(return_rule=True)
    assert first == second == {}
    assert first is not second
