"""Connections of webhooks: to an address that was checked, and with a bound on what comes back."""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Final

import httpcore
from attrs import define, field

from application.ports.webhooks import AttemptFailure
from application.webhooks.destinations import Address

# Bytes of an answer that are read: its head, its body, and what a receiver writes between them.
READ_MAX: Final = 256 * 1024


class FailedAttempt(Exception):
    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@define
class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the first of the checked addresses that answers, whatever host it is asked for.

    The host of the request is left to the header and to TLS, which must name what the receiver calls itself.
    """

    _addresses: Sequence[Address]
    # When connecting must be done, TLS included: a time of the loop.
    _until: float
    _network: httpcore.AsyncNetworkBackend = field(factory=httpcore.AnyIOBackend)
    _opened: list[httpcore.AsyncNetworkStream] = field(factory=list, init=False)
    address: Address | None = field(default=None, init=False)

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - as are those below, it is part of what httpcore calls
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        now = asyncio.get_running_loop().time
        for left, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            # One that doesn't answer must leave time for the others.
            share = now() + (self._until - now()) / left
            try:
                async with asyncio.timeout_at(share):
                    stream = await self._network.connect_tcp(str(address), port)
            except (httpcore.ConnectError, TimeoutError):
                if now() >= self._until:
                    raise FailedAttempt(AttemptFailure.TIMEOUT) from None
                continue
            self.address = address
            self._opened.append(stream)
            return BoundedStream(stream, self._until)
        raise FailedAttempt(AttemptFailure.CONNECT)

    async def aclose(self) -> None:
        """Close what was opened, also where a handshake of TLS was broken off."""
        for stream in self._opened:
            await stream.aclose()


@define
class BoundedStream(httpcore.AsyncNetworkStream):
    _stream: httpcore.AsyncNetworkStream
    _until: float
    _left: int = READ_MAX

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._left <= 0:
            raise FailedAttempt(AttemptFailure.BODY_TOO_LARGE)
        read = await self._stream.read(max_bytes, timeout)
        self._left -= len(read)
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout_at(self._until):
                return BoundedStream(await self._stream.start_tls(ssl_context, server_hostname), self._until)
        except TimeoutError:
            raise FailedAttempt(AttemptFailure.TIMEOUT) from None
        except (httpcore.ConnectError, OSError):
            raise FailedAttempt(AttemptFailure.TLS) from None

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
