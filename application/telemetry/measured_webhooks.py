"""Measures the attempts to send webhooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from application.ports.telemetry import Telemetry
from application.ports.webhooks import Attempt, AttemptFailure, Told, WebhookMessages, WebhookRequest, WebhookTransport
from application.telemetry import metrics
from domain.webhooks.endpoint import Endpoint, InvalidEndpoint


class MeasuredTransport:
    def __init__(self, inner: WebhookTransport, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._count: Final = {
            outcome: telemetry.of(metrics.WEBHOOK_ATTEMPTS, outcome=outcome)
            for outcome in ("delivered", *AttemptFailure)
        }

    async def send(self, request: WebhookRequest) -> Attempt:
        try:
            attempt = await self._inner.send(request)
        except Exception:
            self._count[AttemptFailure.UNEXPECTED](1)
            raise
        self._count[attempt.failure or "delivered"](1)
        return attempt


class MeasuredMessages:
    """An attempt whose request can't be made is one as well. Without the shop's key there is none."""

    def __init__(self, inner: WebhookMessages, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._unexpected: Final = telemetry.of(metrics.WEBHOOK_ATTEMPTS, outcome=AttemptFailure.UNEXPECTED)

    def new_secret(self, chance: str) -> str:
        return self._inner.new_secret(chance)

    def public_keys(self) -> Sequence[str]:
        return self._inner.public_keys()

    def of_event(self, endpoint: Endpoint, told: Told, *, at: datetime) -> WebhookRequest:
        try:
            return self._inner.of_event(endpoint, told, at=at)
        except InvalidEndpoint:
            raise
        except Exception:
            self._unexpected(1)
            raise

    def ping(self, endpoint: Endpoint, *, id_: UUID, at: datetime) -> WebhookRequest:
        return self._inner.ping(endpoint, id_=id_, at=at)
