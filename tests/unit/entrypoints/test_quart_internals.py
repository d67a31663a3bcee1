"""The inside of Quart that `entrypoints/http/server/connection.py` stands on. A failure names what has changed."""

import asyncio
import inspect
from typing import Any

import pytest
from quart import Quart, Request, request
from quart.asgi import ASGIHTTPConnection

from entrypoints.http.server.connection import Body, Connection, LeanQuart, LeanRequest
from tests.http.browser import app_over
from tests.unit.shop import Shop

BODY = b'{"user_id":1}'


def scope(**changes: Any) -> Any:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/orders/a b",
        "raw_path": b"/orders/a%20b",
        "query_string": b"limit=2",
        "root_path": "",
        "headers": [(b"host", b"shop:80"), (b"content-length", b"%d" % len(BODY)), (b"x-a", b"1"), (b"x-a", b"\xe4")],
        "client": ("10.0.0.1", 5),
        "server": ("127.0.0.1", 80),
        **changes,
    }


async def ask(app: Quart, **changes: Any) -> list[Any]:
    """What the application sends."""
    sent: list[Any] = []
    pieces = [{"type": "http.request", "body": BODY[:5], "more_body": True}, {"type": "http.request", "body": BODY[5:]}]

    async def receive() -> Any:
        return {"more_body": False, **pieces.pop(0)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope(**changes), receive, send)
    return sent


async def nothing(*_: Any) -> None: ...


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (ASGIHTTPConnection, "__init__", ["app", "scope"]),
        (ASGIHTTPConnection, "__call__", ["receive", "send"]),
        (ASGIHTTPConnection, "_create_request_from_scope", ["send"]),
        (ASGIHTTPConnection, "handle_request", ["request", "send"]),
        (ASGIHTTPConnection, "_send_push_promise", ["send", "path", "headers"]),
        (
            Request,
            "__init__",
            [
                *("method", "scheme", "path", "query_string", "headers", "root_path", "http_version", "scope"),
                *("max_content_length", "body_timeout", "send_push_promise"),
            ],
        ),
        (Quart, "create_url_adapter", ["request"]),
    ],
)
def test_a_method_has_these_parameters(owner: type, name: str, parameters: list[str]) -> None:
    method = getattr(owner, name, None)
    assert method is not None, f"Quart's {owner.__name__} has no {name} any more"
    assert list(inspect.signature(method).parameters) == ["self", *parameters], f"{owner.__name__}.{name}"


@pytest.mark.parametrize(("name", "value"), [("asgi_http_class", ASGIHTTPConnection), ("request_class", Request)])
def test_an_application_has_this_class_to_be_replaced(name: str, value: type) -> None:
    assert getattr(Quart, name, None) is value, f"Quart.{name}"


def test_a_request_has_this_property_of_its_blueprints() -> None:
    assert isinstance(inspect.getattr_static(Request, "blueprints", None), property), "Request.blueprints"


@pytest.mark.parametrize(
    "changes", [{}, {"client": None}, {"http_version": "1.0", "headers": []}, {"path": "http://a/b"}]
)
async def test_a_request_is_made_as_quart_makes_it(changes: dict[str, Any]) -> None:
    app = LeanQuart("shop")
    lean = Connection(app, scope(**changes))._create_request_from_scope(nothing)  # noqa: SLF001 - what this is about
    plain = ASGIHTTPConnection(Quart("shop"), scope(**changes))._create_request_from_scope(nothing)  # noqa: SLF001 - as above
    assert isinstance(lean, LeanRequest)
    ours, quarts = vars(lean), vars(plain)
    assert ours.keys() == quarts.keys()
    apart = {"body", "headers", "_parsing_lock", "_send_push_promise"}
    assert {name: ours[name] for name in ours.keys() - apart} == {name: quarts[name] for name in quarts.keys() - apart}
    assert list(lean.headers) == list(plain.headers)


async def test_a_body_is_made_by_body_class_with_its_lengths() -> None:
    app = LeanQuart("shop")
    app.config["MAX_CONTENT_LENGTH"] = 99
    body = Connection(app, scope())._create_request_from_scope(nothing).body  # noqa: SLF001 - what this is about
    assert vars(body) == vars(Body(expected_content_length=len(BODY), max_content_length=99)), "Request.body_class"


async def test_a_request_is_handled_in_the_task_of_the_server_and_no_other_is_started() -> None:
    app = LeanQuart("shop")
    seen: list[Any] = []

    @app.post("/orders/<name>")
    async def place(name: str) -> bytes:
        seen.extend((asyncio.current_task(), asyncio.all_tasks(), await request.body, await request.get_data()))
        return name.encode()

    start, *bodies = await ask(app)
    task, tasks, body, again = seen
    assert (task, tasks) == (asyncio.current_task(), {asyncio.current_task()})
    assert (body, again) == (BODY, BODY)
    assert (start["status"], b"".join(each["body"] for each in bodies)) == (200, b"a%20b")


async def test_the_hooks_of_an_application_are_called() -> None:
    app = LeanQuart("shop")
    called: list[str] = []

    @app.before_request
    async def before() -> None:
        called.append("before_request")

    @app.after_request
    async def after(response: Any) -> Any:
        called.append("after_request")
        return response

    @app.teardown_request
    async def teardown(_: BaseException | None) -> None:
        called.append("teardown_request")

    @app.errorhandler(ValueError)
    async def refused(_: ValueError) -> tuple[str, int]:
        called.append("errorhandler")
        return "", 422

    @app.post("/orders/<_>")
    async def place(_: str) -> str:
        raise ValueError

    start, *_ = await ask(app)
    assert start["status"] == 422
    assert called == ["before_request", "errorhandler", "after_request", "teardown_request"]


def test_there_are_no_blueprints_whose_hooks_would_not_be_called() -> None:
    assert app_over(Shop().use_cases).blueprints == {}
