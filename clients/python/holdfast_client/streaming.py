"""An answer that is read as it comes, such as the stream of events."""

from typing import Any

import httpx


class Streamed:
    """The context of one answer.

    Whoever leaves an `async for` early leaves what is nested in it open, and the event loop closes each of its
    generators by itself. A generator that is closed twice at once fails, and httpx's own context is one. This is none.
    """

    def __init__(self, http: httpx.AsyncClient, path: str, **more: Any) -> None:
        self._http = http
        self._request = http.build_request("GET", path, **more)
        self._response: httpx.Response | None = None

    async def __aenter__(self) -> httpx.Response:
        self._response = await self._http.send(self._request, stream=True)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            await self._response.aclose()
