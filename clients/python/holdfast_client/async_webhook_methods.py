"""What `AsyncClient` does with webhooks."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from holdfast_client import webhook_calls
from holdfast_client.calls import Call
from holdfast_client.defaults import PAGE
from holdfast_client.models import Page
from holdfast_client.webhook_models import Attempt, Delivery, Endpoint, NewSecret

T = TypeVar("T")


class AsyncWebhookMethods(ABC):
    @abstractmethod
    async def _send(self, call: Call[T]) -> T: ...

    async def add_webhook_endpoint(self, url: str, events: Iterable[str], **more: Any) -> NewSecret:
        """Register a receiver of events such as `order.paid`, `order.*` or `*`, and show its secret this once.

        `more` are members such as `description`, `payload`, `ordering`, `headers` and `rate_per_s`. The request is sent
        once, since no answer with a secret is stored: after `NoAnswer`, look at `webhook_endpoints`.
        """
        return await self._send(webhook_calls.add(url, events, more))

    async def webhook_endpoint(self, endpoint_id: UUID | str) -> Endpoint:
        return await self._send(webhook_calls.get(endpoint_id))

    async def webhook_endpoint_page(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Endpoint]:
        return await self._send(webhook_calls.page(cursor=cursor, limit=limit))

    async def webhook_endpoints(self) -> AsyncIterator[Endpoint]:
        page = await self._send(webhook_calls.page(limit=PAGE))
        while True:
            for each in page:
                yield each
            if page.next is None:
                return
            page = await self._send(webhook_calls.page(cursor=page.next, limit=PAGE))

    async def webhook_keys(self) -> list[str]:
        """Return the shop's public keys, for `verify_webhook` at an endpoint whose `signature` is `v1a`."""
        return await self._send(webhook_calls.keys())

    async def change_webhook_endpoint(self, endpoint_id: UUID | str, **changes: Any) -> Endpoint:
        """Change members as `add_webhook_endpoint` takes them, or disable it with `enabled=False`."""
        return await self._send(webhook_calls.change(endpoint_id, changes))

    async def delete_webhook_endpoint(self, endpoint_id: UUID | str) -> None:
        return await self._send(webhook_calls.delete(endpoint_id))

    async def rotate_webhook_secret(
        self, endpoint_id: UUID | str, *, previous_valid_for: timedelta = timedelta(0)
    ) -> NewSecret:
        """Sign with a new secret, and with the one before as well for a time, at most seven days."""
        return await self._send(webhook_calls.rotate(endpoint_id, previous_valid_for))

    async def test_webhook_endpoint(self, endpoint_id: UUID | str) -> Attempt:
        """Have `webhook.ping` sent now, also to a disabled endpoint, and return what was answered."""
        return await self._send(webhook_calls.test(endpoint_id))

    async def enable_webhook_endpoint(self, endpoint_id: UUID | str, *, resume_from: str | int) -> Endpoint:
        """Send to it again: from `now` on, from `where_it_stopped`, or after a position between the two."""
        return await self._send(webhook_calls.enable(endpoint_id, resume_from))

    async def recover_webhooks(
        self,
        endpoint_id: UUID | str,
        since: datetime,
        *,
        until: datetime | None = None,
        types: Iterable[str] = (),
        key: str | None = None,
    ) -> UUID:
        """Have sent again what the endpoint has missed of the events in this time. Return the job that does so."""
        return await self._send(webhook_calls.recover(endpoint_id, since, until=until, types=types, key=key))

    async def delivery_page(
        self, endpoint_id: UUID | str, *, cursor: str | None = None, limit: int | None = None, **only: Any
    ) -> Page[Delivery]:
        """Return a page of what an endpoint was sent, the newest first.

        `only` are parameters of the list: `status`, `type`, `order_id`, `reason`.
        """
        return await self._send(webhook_calls.deliveries(endpoint_id, cursor=cursor, limit=limit, **only))

    async def undelivered(self, *, reason: str | None = None) -> AsyncIterator[Delivery]:
        """Yield what has not arrived, at any endpoint, page by page."""
        page = await self._send(webhook_calls.undelivered(reason=reason, limit=PAGE))
        while True:
            for each in page:
                yield each
            if page.next is None:
                return
            page = await self._send(webhook_calls.undelivered(reason=reason, cursor=page.next, limit=PAGE))

    async def delivery(self, delivery_id: str) -> Delivery:
        """Return a delivery with each of its attempts."""
        return await self._send(webhook_calls.delivery(delivery_id))

    async def resend_delivery(self, delivery_id: str) -> Delivery:
        """Have it sent once more, ahead of those that wait, also one that has arrived."""
        return await self._send(webhook_calls.resend(delivery_id))
