"""The access log: a line for each response. Nothing of this is used, and so nothing costs, while there is none."""

import asyncio
import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from entrypoints.access_format import Access, WriteLine, line_writer
from entrypoints.errors import CannotGoOn
from entrypoints.http.authentication import client_address
from entrypoints.http.problem_kinds import OVERLOADED, Kind
from entrypoints.http.request_ids import REQUEST_ID, request_id_in
from entrypoints.http.server.asgi import App, Receive, Scope, Send
from entrypoints.http.server.protocol import ProblemProtocol

# Lines are written together: after this many seconds, or this many characters.
_WRITE_AFTER: Final = 0.5
_WRITE_AT: Final = 64 * 1024
_STANDARD_OUTPUT: Final = "-"
_NOTHING: Final = ("-", "-", "", "-")

Networks = Sequence[IPv4Network | IPv6Network]

_log: Final = logging.getLogger("holdfast.http")


class CannotLog(CannotGoOn):
    """The file of the access log can't be written."""


@define(eq=False)
class AccessLog:
    """Collects lines, and appends them to a file. Several processes may write to the same one.

    A file that was moved away is made anew. If it can't be written, lines are lost, and requests are answered.
    """

    _file: str
    _line: WriteLine
    # Whose word is taken for the client's address.
    proxies: Networks = ()
    _descriptor: int = field(init=False)
    _lines: list[str] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)
    _fails: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._descriptor = self._open()

    def add(self, access: Access) -> None:
        line = f"{self._line(access)}\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _WRITE_AT:
            self.write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WRITE_AFTER, self.write)

    def write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data, self._lines, self._size = "".join(self._lines).encode(), [], 0
        if not data:
            return
        try:
            self._reopen_if_moved()
            # In one call, so that the lines of several processes don't mix.
            os.write(self._descriptor, data)
        except OSError as error:
            if not self._fails:
                _log.warning("the access log %s can't be written, and its lines are lost: %s", self._file, error)
            self._fails = True
        else:
            self._fails = False

    def close(self) -> None:
        self.write()
        if self._file != _STANDARD_OUTPUT:
            os.close(self._descriptor)

    def _open(self) -> int:
        if self._file == _STANDARD_OUTPUT:
            return 1
        return os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _reopen_if_moved(self) -> None:
        if self._file == _STANDARD_OUTPUT:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._file), os.fstat(self._descriptor)):  # noqa: PTH116 - as the next
                return
        new = self._open()
        os.close(self._descriptor)
        self._descriptor = new


@contextmanager
def open_access_log(file: str, form: str, proxies: Networks = ()) -> Generator[AccessLog | None, None, None]:
    """None without a file. Raise `CannotLog`."""
    if not file:
        yield None
        return
    try:
        if file != _STANDARD_OUTPUT:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        log = AccessLog(file, line_writer(form), proxies)
    except OSError as error:
        raise CannotLog(f"HOLDFAST_ACCESS_LOG_FILE: {file} can't be written: {error.strerror}") from None
    try:
        yield log
    finally:
        log.close()


class LoggingProtocol(ProblemProtocol):
    """Tells the access log of each response, also of those that no handler made."""

    access_lines: AccessLog

    async def _handle(self, cycle: RequestResponseCycle, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        begun, sent = self.loop.time(), _Sent(send)
        try:
            await super()._handle(cycle, app, scope, receive, sent)
        finally:
            if sent.status:
                self._tell(scope, sent.status, sent.length, self.loop.time() - begun, sent.request_id)

    def _shed_unparsed(self, data: bytes) -> None:
        super()._shed_unparsed(data)
        method, target, _ = data.partition(b"\r\n")[0].decode("latin1").split(" ")
        path, _, query = target.partition("?")
        self._add(method, path, query, "1.1", status=OVERLOADED.status, request_id=request_id_in(data))

    def _shed(self, cycle: RequestResponseCycle) -> None:
        will_be_told = not cycle.keep_alive or cycle.waiting_for_100_continue
        super()._shed(cycle)
        if not will_be_told:
            self._tell(cycle.scope, OVERLOADED.status, 0, 0.0, "-")

    def _write_last(self, kind: Kind) -> None:
        super()._write_last(kind)
        if self._head_complete:
            self._tell(self.cycle.scope, kind.status, 0, 0.0, "-")
        else:
            # There is no request yet that could be told.
            self._add(*_NOTHING, status=kind.status)

    def _tell(self, scope: Any, status: int, length: int, seconds: float, request_id: str) -> None:
        self._add(
            scope["method"],
            scope["raw_path"].decode("latin1"),
            scope["query_string"].decode("latin1"),
            scope["http_version"],
            [value.decode("latin1") for name, value in scope["headers"] if name == b"x-forwarded-for"],
            status=status,
            length=length,
            seconds=seconds,
            headers={name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]},
            request_id=request_id,
        )

    def _add(
        self, method: str, path: str, query: str, version: str, forwarded: Sequence[str] = (), **more: Any
    ) -> None:
        client = self.client[0] if self.client else "-"
        if self.access_lines.proxies:
            client = client_address(client, forwarded, self.access_lines.proxies)
        said = {"length": 0, "seconds": 0.0, "headers": {}, "request_id": "-", **more}
        self.access_lines.add(
            Access(at=datetime.now(UTC), client=client, method=method, path=path, query=query, version=version, **said)
        )


@define(eq=False)
class _Sent:
    """Passes the messages of a response on, and keeps what the log tells of them."""

    _send: Send
    status: int = field(default=0, init=False)
    length: int = field(default=0, init=False)
    request_id: str = field(default="-", init=False)

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            wanted = REQUEST_ID.lower().encode()
            self.request_id = next((v.decode() for name, v in message["headers"] if name.lower() == wanted), "-")
        else:
            self.length += len(message.get("body", b""))
        await self._send(message)


def logging_to(log: AccessLog) -> Callable[..., ProblemProtocol]:
    return partial(_logging_protocol, log)


def _logging_protocol(log: AccessLog, *arguments: Any) -> ProblemProtocol:
    protocol = LoggingProtocol(*arguments)
    protocol.access_lines = log
    return protocol
