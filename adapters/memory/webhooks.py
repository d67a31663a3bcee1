"""Receivers of webhooks in this process, which answer as somebody chooses."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus

from attrs import define, field, frozen

from application.ports.environment import Clock
from application.ports.webhooks import Attempt, AttemptFailure, WebhookRequest


@frozen
class Answer:
    """What a receiver answers: a status, or why it gives none."""

    status: int = HTTPStatus.OK
    failure: AttemptFailure | None = None
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""
    duration_ms: int = 1


async def _takes_all(_: WebhookRequest) -> Answer:
    return Answer()


@define(eq=False)
class MemoryWebhookTransport:
    """Hands requests to `answer`, and keeps them."""

    now: Clock = field(default=lambda: datetime.now(UTC))
    answer: Callable[[WebhookRequest], Awaitable[Answer]] = _takes_all
    received: list[WebhookRequest] = field(factory=list, init=False)

    async def send(self, request: WebhookRequest) -> Attempt:
        at = self.now()
        self.received.append(request)
        answer = await self.answer(request)
        failure = answer.failure
        if failure is None and not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            failure = AttemptFailure.STATUS
        return Attempt(
            at=at,
            duration_ms=answer.duration_ms,
            failure=failure,
            address=None if failure is AttemptFailure.DNS else "127.0.0.1",
            status=answer.status if answer.failure is None else None,
            headers=answer.headers,
            body=answer.body,
        )
