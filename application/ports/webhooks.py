"""How an event reaches a receiver of webhooks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from attrs import field, frozen

from domain.orders.events import Event
from domain.webhooks.endpoint import Endpoint


class AttemptFailure(StrEnum):
    """Why there is no answer, or none that counts."""

    DNS = "dns"
    # The address, or one of the addresses that the name has, is not for strangers to reach.
    REFUSED_ADDRESS = "refused_address"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    STATUS = "status"
    BODY_TOO_LARGE = "body_too_large"
    # An error in the sender, not at the receiver.
    UNEXPECTED = "unexpected"


@frozen(kw_only=True)
class WebhookRequest:
    """What one attempt sends: a POST, complete and signed."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    # How old the event is when it is sent.
    age: timedelta = timedelta(0)


@frozen(kw_only=True)
class Attempt:
    """What came of a request. It was delivered if there is no `failure`."""

    at: datetime
    duration_ms: int
    failure: AttemptFailure | None = None
    # The IP address that was connected to, if it came to that.
    address: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(factory=dict)
    # The first 4 KiB of the answer.
    body: bytes = b""


class WebhookTransport(Protocol):
    async def send(self, request: WebhookRequest) -> Attempt:
        """Try once, within 15 s (5 s to connect). It raises nothing but what cancels it."""


@frozen(kw_only=True)
class Told:
    """What one attempt tells. `gap`: the receiver lacks an earlier event of the order."""

    position: int
    event: Event
    attempt: int
    gap: bool = False


class WebhookMessages(Protocol):
    """What is sent, and how it is signed."""

    def new_secret(self, chance: str) -> str:
        """Return a secret as people and receivers write it, made of characters that nobody can guess."""

    def public_keys(self) -> Sequence[str]:
        """Return what receivers check signatures of the kind `v1a` with, the newest first."""

    def of_event(self, endpoint: Endpoint, told: Told, *, at: datetime) -> WebhookRequest:
        """Raise `InvalidEndpoint` when its kind of signature needs a key that the shop does not have."""

    def ping(self, endpoint: Endpoint, *, id_: UUID, at: datetime) -> WebhookRequest:
        """Return a request that is about no event. Raise as `of_event` does."""
