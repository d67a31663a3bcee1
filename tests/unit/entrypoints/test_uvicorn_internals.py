"""The inside of uvicorn that `protocol.py` and `closing.py` in `entrypoints/http/server` stand on.

A failure names what has changed.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import define, field
from httptools import HttpParserError, HttpParserUpgrade
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

REQUEST = b"GET /orders HTTP/1.1\r\nHost: shop\r\n\r\n"
CHUNKED = b"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@define
class App:
    """An ASGI application that answers when it may."""

    may_answer: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


# Each method that the two override, with its parameters.
OVERRIDDEN = {
    "connection_made": ["transport"],
    "connection_lost": ["exc"],
    "data_received": ["data"],
    "on_message_begin": [],
    "on_headers_complete": [],
    "on_message_complete": [],
    "_start_asgi_task": ["cycle", "app"],
    "shutdown": [],
    "pause_writing": [],
    "resume_writing": [],
}
# Each method that they call besides, with its parameters.
CALLED = {
    "__init__": ["config", "server_state", "app_state", "_loop"],
    "on_response_complete": [],
    "timeout_keep_alive_handler": [],
    "_unset_keepalive_if_required": [],
}
PARSER_CALLS = ["on_message_begin", "on_headers_complete", "_start_asgi_task", "on_message_complete"]


class Told(HttpToolsProtocol):
    """Keeps the names of the overridden methods that were called."""

    called: list[str]


def telling(name: str) -> Callable[..., None]:
    def call(protocol: Told, *args: Any) -> None:
        protocol.called.append(name)
        getattr(HttpToolsProtocol, name)(protocol, *args)

    return call


for overridden in OVERRIDDEN:
    setattr(Told, overridden, telling(overridden))


class Refusing(Told):
    def on_headers_complete(self) -> None:
        raise ValueError


def connected(cls: type[Told], app: App, state: ServerState) -> Told:
    config = Config(app, ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False)
    protocol = cls(config, state, {})
    protocol.called = []
    protocol.connection_made(Wire())
    return protocol


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def state() -> ServerState:
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    return state


@pytest.fixture
async def protocol(app: App, state: ServerState) -> AsyncIterator[Told]:
    protocol = connected(Told, app, state)
    yield protocol
    if protocol in state.connections:
        protocol.connection_lost(None)
    app.may_answer.set()
    await turns()


@pytest.fixture
def wire(protocol: Told) -> Wire:
    assert isinstance(protocol.transport, Wire)
    return protocol.transport


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("name", "parameters"), [*OVERRIDDEN.items(), *CALLED.items()])
def test_a_method_of_the_protocol_has_these_parameters(name: str, parameters: list[str]) -> None:
    method = getattr(HttpToolsProtocol, name, None)
    assert method is not None, f"uvicorn's HttpToolsProtocol has no {name} any more"
    assert list(inspect.signature(method).parameters) == ["self", *parameters], f"HttpToolsProtocol.{name}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("loop", asyncio.AbstractEventLoop),
        ("parser", object),
        ("url", bytes),
        ("headers", list),
        ("cycle", RequestResponseCycle),
        ("pipeline", object),
        ("tasks", set),
        ("transport", asyncio.Transport),
        ("flow", object),
        ("server_state", ServerState),
        ("timeout_keep_alive", int),
        ("timeout_keep_alive_task", object),
    ],
)
async def test_a_protocol_has_this_attribute(protocol: Told, name: str, kind: type) -> None:
    protocol.data_received(REQUEST)
    assert name in vars(protocol), f"uvicorn's HttpToolsProtocol has no {name} any more"
    assert isinstance(getattr(protocol, name), kind), f"HttpToolsProtocol.{name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_alive", True),
        ("disconnected", False),
        ("waiting_for_100_continue", False),
        ("response_started", False),
        ("response_complete", False),
        ("more_body", False),
    ],
)
async def test_the_cycle_of_a_request_has_this_flag(protocol: Told, name: str, value: object) -> None:
    protocol.data_received(REQUEST)
    assert name in vars(protocol.cycle), f"uvicorn's RequestResponseCycle has no {name} any more"
    assert getattr(protocol.cycle, name) is value, f"RequestResponseCycle.{name}"


@pytest.mark.parametrize("name", ["total_requests", "connections", "tasks", "default_headers"])
def test_the_state_of_a_server_has_this_attribute(name: str) -> None:
    assert name in vars(ServerState()), f"uvicorn's ServerState has no {name} any more"


async def test_the_parser_calls_what_is_overridden(protocol: Told) -> None:
    protocol.data_received(REQUEST)
    assert [name for name in protocol.called if name in PARSER_CALLS] == PARSER_CALLS
    assert protocol.parser.get_http_version() == "1.1"
    assert (protocol.url, protocol.headers) == (b"/orders", [(b"host", b"shop")])
    assert protocol.cycle.scope["raw_path"] == b"/orders"
    assert protocol.cycle.scope["method"] == "GET"
    assert protocol.cycle.scope["headers"] is protocol.headers


async def test_the_parser_raises_for_what_is_no_http_and_for_an_exception_in_a_callback(
    protocol: Told, app: App, state: ServerState
) -> None:
    with pytest.raises(HttpParserError):
        protocol.parser.feed_data(b"hello\r\n\r\n")
    refusing = connected(Refusing, app, state)
    with pytest.raises(HttpParserError):
        refusing.parser.feed_data(REQUEST)
    assert "_start_asgi_task" not in refusing.called


async def test_the_parser_stops_behind_a_head_with_upgrade_and_says_where(protocol: Told) -> None:
    head = REQUEST.removesuffix(b"\r\n") + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    with pytest.raises(HttpParserUpgrade) as upgrade:
        protocol.parser.feed_data(memoryview(head + REQUEST))
    assert upgrade.value.args == (len(head),)


async def test_the_parser_adds_a_trailer_to_the_headers_of_the_protocol(protocol: Told) -> None:
    protocol.parser.feed_data(CHUNKED + b"\r\n")
    protocol.headers = []
    protocol.parser.feed_data(b"0\r\nTrailer-Field: x\r\nConnection: close\r\n\r\n")
    assert protocol.headers == [(b"trailer-field", b"x"), (b"connection", b"close")]
    assert b"trailer-field" not in dict(protocol.cycle.scope["headers"])


async def test_a_request_behind_another_waits_in_the_pipeline_and_is_started_by_on_response_complete(
    protocol: Told, app: App, state: ServerState
) -> None:
    protocol.data_received(REQUEST * 2)
    assert (protocol.called.count("_start_asgi_task"), len(protocol.pipeline), len(protocol.tasks)) == (1, 1, 1)
    app.may_answer.set()
    await turns()
    assert (protocol.called.count("_start_asgi_task"), len(protocol.pipeline)) == (2, 0)
    assert state.total_requests == 2


async def test_the_application_of_start_asgi_task_is_called_with_the_cycle(protocol: Told) -> None:
    protocol.data_received(REQUEST)
    got: list[Any] = []

    async def application(*args: Any) -> None:
        got.extend(args)

    cycle = protocol.cycle
    cycle.disconnected = True
    protocol._start_asgi_task(cycle, application)  # noqa: SLF001 - it is what this file is about
    await turns()
    assert got == [cycle.scope, cycle.receive, cycle.send]


async def test_a_task_stands_in_tasks_while_it_is_under_way(protocol: Told, app: App, state: ServerState) -> None:
    protocol.data_received(REQUEST)
    assert protocol.tasks is state.tasks
    assert len(state.tasks) == 1
    app.may_answer.set()
    await turns()
    assert len(state.tasks) == 0


async def test_a_connection_stands_in_connections_while_it_is_open(protocol: Told, state: ServerState) -> None:
    assert state.connections == {protocol}
    protocol.connection_lost(None)
    assert state.connections == set()


async def test_a_request_that_has_its_answer_is_complete_and_counted_and_starts_the_timer(
    protocol: Told, app: App, state: ServerState, wire: Wire
) -> None:
    app.may_answer.set()
    protocol.data_received(REQUEST)
    await turns()
    assert (protocol.cycle.response_started, protocol.cycle.response_complete, state.total_requests) == (True, True, 1)
    assert wire.written.startswith(b"HTTP/1.1 204 No Content\r\ndate: today\r\n")
    timer = protocol.timeout_keep_alive_task
    assert timer is not None
    protocol._unset_keepalive_if_required()  # noqa: SLF001 - it is what this file is about
    assert timer.cancelled()
    assert protocol.timeout_keep_alive_task is None


async def test_a_cycle_that_is_not_kept_alive_closes_the_connection(protocol: Told, app: App, wire: Wire) -> None:
    protocol.data_received(REQUEST)
    protocol.cycle.keep_alive = False
    app.may_answer.set()
    await turns()
    assert b"connection: close" in wire.written
    assert wire.closed


async def test_a_cycle_that_is_disconnected_sends_nothing_and_says_so(protocol: Told, app: App, wire: Wire) -> None:
    protocol.data_received(CHUNKED + b"\r\n")
    cycle = protocol.cycle
    assert cycle.more_body
    cycle.disconnected = True
    cycle.message_event.set()
    assert await cycle.receive() == {"type": "http.disconnect"}
    app.may_answer.set()
    await turns()
    assert wire.written == b""


async def test_only_the_last_cycle_of_a_pipeline_is_marked_as_disconnected(protocol: Told) -> None:
    protocol.data_received(REQUEST)
    first = protocol.cycle
    protocol.data_received(REQUEST)
    protocol.connection_lost(None)
    assert (first.disconnected, protocol.cycle.disconnected) == (False, True)


async def test_a_client_that_waits_for_100_continue_is_known(protocol: Told) -> None:
    protocol.data_received(CHUNKED + b"Expect: 100-continue\r\n\r\n")
    assert protocol.cycle.waiting_for_100_continue


async def test_a_cycle_that_is_complete_before_its_body_drops_the_rest(protocol: Told) -> None:
    protocol.data_received(CHUNKED + b"\r\n")
    protocol.cycle.response_complete = True
    protocol.data_received(b"2\r\n{}\r\n0\r\n\r\n")
    assert protocol.cycle.body == b""
    assert "on_message_complete" in protocol.called


async def test_reading_that_was_paused_is_resumed_by_the_flow(protocol: Told) -> None:
    protocol.flow.pause_reading()
    protocol.flow.resume_reading()
    assert not protocol.flow.read_paused
