import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Final

import httpcore
from attrs import Factory, define, field

from adapters.webhooks.connecting import CheckedBackend, FailedAttempt
from adapters.webhooks.resolver import Resolve
from application.ports.environment import Clock
from application.ports.webhooks import Attempt, AttemptFailure, WebhookRequest
from application.webhooks.destinations import NOTHING_ELSE, Allowed, Destination, RefusedUrl, destination_of, refusal_of

CONNECT_WITHIN: Final = 5.0
DONE_WITHIN: Final = 15.0
KEPT: Final = 4096
_SECRET_HEADERS: Final = ("cookie", "token", "secret", "authorization", "api-key", "password", "session")


@define
class _Answer:
    """What is known so far, however the attempt ends."""

    address: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(factory=dict)
    body: bytearray = field(factory=bytearray)


@define
class HttpWebhookTransport:
    """Sends a webhook over a connection of its own, since each attempt has to look the name up and check its addresses.

    Nothing of the environment is used but the system's certificates and its name servers.
    """

    _resolve: Resolve
    _now: Clock
    _allowed: Allowed = NOTHING_ELSE
    _tls: ssl.SSLContext = Factory(ssl.create_default_context)
    _connect_within: float = CONNECT_WITHIN
    _done_within: float = DONE_WITHIN

    async def send(self, request: WebhookRequest) -> Attempt:
        at, began = self._now(), time.monotonic()
        answer = _Answer()
        failure: AttemptFailure | None = None
        try:
            async with asyncio.timeout(self._done_within):
                await self._post(request, answer)
        except FailedAttempt as failed:
            failure = failed.failure
        except TimeoutError:
            failure = AttemptFailure.TIMEOUT
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            # The receiver broke off, or what it says is not HTTP.
            failure = AttemptFailure.RESET
        if failure is None and not 200 <= (answer.status or 0) < 300:  # noqa: PLR2004 - the classes of HTTP
            failure = AttemptFailure.STATUS
        return Attempt(
            at=at,
            duration_ms=round((time.monotonic() - began) * 1000),
            failure=failure,
            address=answer.address,
            status=answer.status,
            headers=answer.headers,
            body=bytes(answer.body),
        )

    async def _post(self, request: WebhookRequest, answer: _Answer) -> None:
        until = asyncio.get_running_loop().time() + self._connect_within
        destination = self._destination(request.url)
        backend = await self._checked(destination, until)
        url = httpcore.URL(
            scheme=destination.scheme.encode(),
            host=destination.host.encode(),
            port=destination.port,
            target=destination.target.encode(),
        )
        headers = {
            "user-agent": "Holdfast",
            **request.headers,
            "host": destination.authority,
            "content-length": str(len(request.body)),
            "connection": "close",
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        post = httpcore.Request("POST", url, headers=encoded, content=request.body)
        try:
            async with httpcore.AsyncHTTPConnection(
                url.origin, ssl_context=self._tls, network_backend=backend
            ) as connection:
                response = await connection.handle_async_request(post)
                answer.status = response.status
                answer.headers = _kept_headers(response.headers)
                async for part in response.aiter_stream():
                    answer.body += part[: KEPT - len(answer.body)]
        finally:
            answer.address = None if backend.address is None else str(backend.address)
            await backend.aclose()

    def _destination(self, url: str) -> Destination:
        try:
            return destination_of(url, self._allowed)
        except RefusedUrl:
            # Since the endpoint was made, the setting has changed.
            raise FailedAttempt(AttemptFailure.REFUSED_ADDRESS) from None

    async def _checked(self, destination: Destination, until: float) -> CheckedBackend:
        """Look the host up once. Every address has to pass: which of them is tried is chance."""
        if destination.address is not None:
            return CheckedBackend([destination.address], until)
        try:
            async with asyncio.timeout_at(until):
                addresses = await self._resolve(destination.host, destination.port)
        except OSError:
            # A timeout, too, is an `OSError`.
            raise FailedAttempt(AttemptFailure.DNS) from None
        if not addresses:
            raise FailedAttempt(AttemptFailure.DNS)
        if any(refusal_of(address, destination, self._allowed) for address in addresses):
            raise FailedAttempt(AttemptFailure.REFUSED_ADDRESS)
        return CheckedBackend(addresses, until)


def _kept_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The first 4 KiB of them, without what a receiver may hold for a secret."""
    kept: dict[str, str] = {}
    left = KEPT
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        left -= len(name) + len(value)
        if left < 0:
            break
        if any(word in name for word in _SECRET_HEADERS):
            value = "***"
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept
