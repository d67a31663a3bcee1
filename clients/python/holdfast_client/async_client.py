"""The client for asyncio. Each of its methods is one of `Client` as well."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx

from holdfast_client import calls
from holdfast_client.async_bulk_methods import AsyncBulkMethods
from holdfast_client.async_order_methods import AsyncOrderMethods
from holdfast_client.async_webhook_methods import AsyncWebhookMethods
from holdfast_client.calls import Call, read
from holdfast_client.defaults import PAGE, TIMEOUT, headers
from holdfast_client.downloading import Downloading
from holdfast_client.errors import HoldfastError, error_of
from holdfast_client.following import QUIET, STREAM, Following, is_stream
from holdfast_client.models import (
    Event,
    EventPage,
    Import,
    IssuedKey,
    Job,
    Message,
    Page,
    Product,
)
from holdfast_client.retries import Retries, no_answer
from holdfast_client.streaming import Streamed

T = TypeVar("T")


class AsyncClient(AsyncOrderMethods, AsyncBulkMethods, AsyncWebhookMethods):
    """A client of the service at `base_url`, with an API key where one is needed. Use it as a context manager.

    `transport` is for tests and proxies. `timeout` is in seconds.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        retries: Retries | None = None,
        timeout: float = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout = timeout
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers(api_key), timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def product(self, product_id: int) -> Product:
        return await self._send(calls.get_product(product_id))

    async def product_page(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Product]:
        return await self._send(calls.list_products(cursor=cursor, limit=limit))

    async def add_product(
        self, name: str, *, price: int, currency: str, stock: int = 0, key: str | None = None, **more: Any
    ) -> Product:
        """Enter a product. `price` is in minor units. `more` are members such as `sku` and `metadata`."""
        new = {"name": name, "price": price, "currency": currency, "stock": stock, **more}
        return await self._send(calls.add_product(new, key=key))

    async def change_product(self, product_id: int, *, version: int | None = None, **changes: Any) -> Product:
        """Change members such as `name`, `price`, `active`. Placed orders keep their prices."""
        return await self._send(calls.change_product(product_id, changes, version=version))

    async def adjust_stock(self, product_id: int, delta: int, *, reason: str, key: str | None = None) -> Product:
        """Put `delta` units into stock, or take them out. Raise `RefusedByRules` if there are too few."""
        return await self._send(calls.adjust_stock(product_id, delta, reason=reason, key=key))

    async def add_message(self, content: str, *, order_id: UUID | str | None = None, key: str | None = None) -> UUID:
        """Leave a message, in general or about an order. Return the job that takes it."""
        return await self._send(calls.add_message(content, order_id=order_id, key=key))

    async def message_page(self, *, order_id: UUID | str | None = None, cursor: str | None = None) -> Page[Message]:
        return await self._send(calls.list_messages(order_id=order_id, cursor=cursor))

    async def job(self, job_id: UUID | str) -> Job:
        return await self._send(calls.get_job(job_id))

    async def cancel_job(self, job_id: UUID | str) -> Job:
        return await self._send(calls.cancel_job(job_id))

    async def retry_job(self, job_id: UUID | str) -> Job:
        return await self._send(calls.retry_job(job_id))

    async def start_export(
        self,
        what: str,
        *,
        format: str = "ndjson",  # noqa: A002 - as the API has it
        key: str | None = None,
        **only: Any,
    ) -> UUID:
        """Ask for an export of `orders`, `products` or `events`, as `ndjson` or `csv`. Return its job.

        `only` is its filter, such as `status=["PAID"]`. It can be downloaded when the job is COMPLETED.
        """
        return await self._send(calls.start_export(what, format=format, key=key, only=only))

    def download_export(self, job_id: UUID | str) -> AsyncIterator[bytes]:
        """Yield the bytes of an export. When the connection breaks off, go on behind what has come."""
        return self._download(calls.export_path(job_id))

    async def start_import(  # noqa: PLR0913 - as the API has it
        self,
        what: str,
        content: bytes,
        *,
        format: str = "ndjson",  # noqa: A002 - as the API has it
        dry_run: bool = False,
        on_error: str = "stop",
        key: str | None = None,
    ) -> UUID:
        """Import `products`, `stock` or `orders` from a file of `ndjson` or `csv`. Return its job.

        If a row is bad, nothing is done, or with `on_error="skip"` the other rows are. With `dry_run`, nothing is.
        """
        return await self._send(
            calls.start_import(what, content, format=format, dry_run=dry_run, on_error=on_error, key=key)
        )

    async def imported(self, job_id: UUID | str) -> Import:
        return await self._send(calls.get_import(job_id))

    def download_results(self, job_id: UUID | str) -> AsyncIterator[bytes]:
        """Yield the bytes of the results of an import that has ended: a JSON object for each row, one in a line."""
        return self._download(calls.results_path(job_id))

    async def _download(self, path: str) -> AsyncIterator[bytes]:
        download, failed = Downloading(path), 0
        while not download.is_done:
            try:
                async with Streamed(self._http, download.path, headers=download.headers()) as response:
                    if not response.is_success:
                        await response.aread()
                        raise error_of(response)
                    download.begin(response)
                    async for part in response.aiter_raw():
                        failed = 0
                        yield download.take(part)
            except (httpx.TransportError, HoldfastError) as error:
                failed += 1
                trouble = no_answer(error, repeats=True) if isinstance(error, httpx.TransportError) else error
                pause = self._retries.pause_after(failed, trouble)
                if pause is None:
                    raise trouble from error
                await asyncio.sleep(pause)

    async def reset_shop(self, confirm: str) -> int:
        """Remove all orders of a shop for trials, whose namespace is `confirm`. Return how many there were."""
        return await self._send(calls.reset_shop(confirm))

    async def create_key(self, name: str, role: str, **more: Any) -> IssuedKey:
        """Make an API key. `more` are members such as `user_id`, `scopes` and `expires_at`."""
        return await self._send(calls.create_key(name, role, more))

    async def revoke_key(self, key_id: str) -> None:
        return await self._send(calls.revoke_key(key_id))

    async def event_page(
        self,
        *,
        after: int | None = None,
        types: Sequence[str] = (),
        order_id: UUID | str | None = None,
        limit: int | None = None,
        wait: int | None = None,
    ) -> EventPage:
        """Return a page of the feed, by default from its beginning. `types` may be as `order.paid` or `order.*`.

        With `wait`, wait for so many seconds, at most ten, until there is an event.
        """
        return await self._send(calls.event_page(after=after, types=types, order_id=order_id, limit=limit, wait=wait))

    async def newest_position(self) -> int:
        """Return the position of the newest event."""
        return await self._send(calls.newest_position())

    async def products(self) -> AsyncIterator[Product]:
        page = await self._send(calls.list_products(limit=PAGE))
        while True:
            for product in page:
                yield product
            if page.next is None:
                return
            page = await self._send(calls.list_products(cursor=page.next, limit=PAGE))

    async def events(
        self, *, after: int | None = None, types: Sequence[str] = (), order_id: UUID | str | None = None
    ) -> AsyncIterator[Event]:
        """Yield the events after a position, by default those to come, and wait for more without end.

        Keep the `position` of the last event that you have handled, and go on after it: nothing is missed and nothing
        comes twice. They come by stream, or by pages where no stream gets through. Raise `PositionNotKept` when the
        shop no longer has the events after the position.
        """
        begin = await self.newest_position() if after is None else after
        following = Following(begin, types, order_id)
        while True:
            if following.streams:
                async for event in self._stream(following):
                    yield event
            else:
                for event in following.take_page(await self._send(following.page())):
                    yield event

    async def _stream(self, following: Following) -> AsyncIterator[Event]:
        parameters = following.begin_stream()
        with_quiet = httpx.Timeout(self._timeout, read=QUIET)
        try:
            async with Streamed(self._http, STREAM, params=parameters, timeout=with_quiet) as response:
                if not is_stream(response):
                    return
                async for line in response.aiter_lines():
                    event = following.take_line(line)
                    if event is not None:
                        yield event
        except httpx.TransportError:
            # The next page finds out whether the service is away.
            return
        finally:
            following.end_stream()

    async def _send(self, call: Call[T]) -> T:
        failed = 0
        while True:
            try:
                return await self._try(call)
            except HoldfastError as error:
                failed += 1
                pause = self._retries.pause_after(failed, error)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _try(self, call: Call[T]) -> T:
        try:
            response = await self._http.request(
                call.method,
                call.path,
                json=call.json,
                content=call.content,
                params=dict(call.params),
                headers=dict(call.headers),
            )
        except httpx.TransportError as error:
            raise no_answer(error, repeats=call.repeats) from error
        if not response.is_success:
            raise error_of(response)
        return read(call, response)
