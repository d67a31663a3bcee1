"""The inside of Werkzeug that `headers.py` and `this_request.py` stand on. A failure names what has changed."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from quart import Quart, Request
from werkzeug.datastructures import Headers

from entrypoints.http.headers import PlainHeaders
from entrypoints.http.this_request import this_request

PAIRS = [("Host", "shop"), ("X-A", "1"), ("x-a", "2"), ("Content-Length", "12")]


async def test_the_request_is_behind_a_proxy() -> None:
    async with Quart(__name__).test_request_context("/somewhere"):
        found = this_request()
    assert (type(found), found.path) == (Request, "/somewhere"), "LocalProxy._get_current_object"


def test_headers_are_nothing_but_a_list_of_pairs() -> None:
    assert vars(Headers(PAIRS)) == {"_list": PAIRS}, "Headers._list"


def test_get_has_these_parameters() -> None:
    assert list(inspect.signature(Headers.get).parameters) == ["self", "key", "default", "type"], "Headers.get"


def changed(change: Callable[[Headers], object]) -> Callable[[Headers], object]:
    def then_listed(headers: Headers) -> object:
        return change(headers), list(headers)

    return then_listed


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda headers: headers.get("x-A"), id="get"),
        pytest.param(lambda headers: headers.get("missing"), id="get, missing"),
        pytest.param(lambda headers: headers.get("missing", "b"), id="get, with a default"),
        pytest.param(lambda headers: headers.get("content-length", type=int), id="get, as a number"),
        pytest.param(lambda headers: headers.get("host", 5, type=int), id="get, as a number that it is not"),
        pytest.param(lambda headers: headers["x-a"], id="by name"),
        pytest.param(lambda headers: headers.getlist("X-a"), id="getlist"),
        pytest.param(lambda headers: "HOST" in headers, id="in"),
        pytest.param(len, id="len"),
        pytest.param(lambda headers: headers.to_wsgi_list(), id="to_wsgi_list"),
        pytest.param(changed(lambda headers: headers.set("X-A", "3")), id="set"),
        pytest.param(changed(lambda headers: headers.setdefault("Host", "other")), id="setdefault"),
        pytest.param(changed(lambda headers: headers.add("X-B", "3")), id="add"),
        pytest.param(changed(lambda headers: headers.pop("x-a")), id="pop"),
        pytest.param(changed(lambda headers: headers.remove("x-a")), id="remove"),
    ],
)
def test_plain_headers_are_used_as_headers_are(use: Callable[[Any], object]) -> None:
    assert use(PlainHeaders([*PAIRS])) == use(Headers(PAIRS))
