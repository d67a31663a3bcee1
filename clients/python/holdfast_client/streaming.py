"""Answers that are read as they come, such as the stream of events. They end with their client."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(slots=True)
class Streams:
    """The answers that are being read.

    Whoever leaves an `async for` early leaves its iterator open, and the event loop closes it at some time. When the
    loop ends, it would close what is nested in each other at once, and fail. So a client ends its answers by itself.
    """

    _http: httpx.AsyncClient
    _open: set[httpx.Response] = field(default_factory=set)

    def get(self, path: str, **more: Any) -> "Streamed":
        return Streamed(self._http, self._http.build_request("GET", path, **more), self._open)

    async def close(self) -> None:
        for response in tuple(self._open):
            with suppress(httpx.TransportError):
                await response.aclose()


@dataclass(slots=True)
class Streamed:
    """The context of one answer. It is a class, because a generator would be one more thing that the loop closes."""

    _http: httpx.AsyncClient
    _request: httpx.Request
    _open: set[httpx.Response]
    _response: httpx.Response | None = None

    async def __aenter__(self) -> httpx.Response:
        self._response = await self._http.send(self._request, stream=True)
        self._open.add(self._response)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._open.discard(self._response)
            await self._response.aclose()
