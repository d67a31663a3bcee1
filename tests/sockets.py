"""HTTP over bare sockets, to a server that runs in the loop of the test."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from attrs import frozen
from quart import Quart

from application.ports.telemetry import Telemetry
from entrypoints.http.server.access_log import AccessLog
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from entrypoints.http.server.server import serve

ORDER: Final = b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}'
GET_LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: shop\r\n\r\n"
GET_ORDER: Final = b"GET /orders/01890a5d-ac96-774b-bcce-b302099a8057 HTTP/1.1\r\nHost: shop\r\n\r\n"
POST: Final = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"


def a_post(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


@frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert self.body["request_id"] == self.headers["request-id"]
        assert self.body["type"] == f"/problems/{self.body['code']}"
        return str(self.body["code"])


@frozen
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii")
            first, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            content = await self.reader.readexactly(int(headers["content-length"]))
        assert headers["request-id"]
        return Answer(int(first.split()[1]), headers, json.loads(content))

    async def is_closed(self) -> bool:
        """Wait for it."""
        async with asyncio.timeout(60):
            return await self.reader.read() == b""


@frozen
class Site:
    """A server that runs in the loop of the test."""

    port: int
    stop: asyncio.Event
    stopped: "asyncio.Task[None]"

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, content: bytes) -> Answer:
        """Send it over a connection of its own, and see that it is closed after the answer."""
        async with self.connection() as connection:
            await connection.send(content)
            answer = await connection.answer()
            assert await connection.is_closed()
            return answer


@asynccontextmanager
async def running(
    app: Quart,
    *,
    shutdown_timeout: float = 5.0,
    receive_timeout: float = 5.0,
    keep_alive: int = 30,
    concurrency: ConcurrencyLimit | None = None,
    max_connections: int | None = None,
    access_log: AccessLog | None = None,
    long_lived: Callable[[], int] = lambda: 0,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Site]:
    stop = asyncio.Event()
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(
            app,
            host="127.0.0.1",
            port=0,
            shutdown_timeout=shutdown_timeout,
            receive_timeout=receive_timeout,
            keep_alive=keep_alive,
            on_started=started.set_result,
            stop=stop,
            concurrency=concurrency,
            max_connections=max_connections,
            access_log=access_log,
            long_lived=long_lived,
            telemetry=telemetry,
        )
    )
    async with asyncio.timeout(60):
        try:
            yield Site(int((await started).rpartition(":")[2]), stop, task)
        finally:
            stop.set()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()
