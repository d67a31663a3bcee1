"""The receivers of webhooks, as the shop has registered them."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, evolve, field, frozen, setters

from domain.errors import DomainError, IllegalTransition
from domain.ids import EndpointId

MAX_DESCRIPTION: Final = 200
MAX_HEADERS: Final = 20
MAX_HEADER_VALUE: Final = 1000
MAX_EVENTS: Final = 50
MOST_AT_ONCE: Final = 32
MOST_PER_SECOND: Final = 1000
LONGEST_OVERLAP: Final = timedelta(days=7)
# That sign at once, of one endpoint. Each is in a header of every request.
MOST_SECRETS: Final = 5

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# What the sender sets itself, or what says how the message is framed.
_OURS: Final = re.compile(
    r"(content-|webhook-|holdfast-|proxy-).*|host|connection|user-agent|transfer-encoding|te|trailer|upgrade|expect"
    r"|keep-alive|traceparent|tracestate|accept-encoding",
    re.IGNORECASE,
)


class InvalidEndpoint(DomainError):
    """A receiver of webhooks that breaks a rule."""

    code = "invalid_webhook_endpoint"


class UnknownEndpoint(DomainError):
    """There is no such receiver of webhooks, or it was deleted."""

    code = "unknown_webhook_endpoint"


class TooManyEndpoints(DomainError):
    """The shop has as many receivers of webhooks as it may have."""

    code = "too_many_webhook_endpoints"


class Payload(StrEnum):
    FULL = "full"
    # Without the data of the event: the receiver reads the order.
    THIN = "thin"


class Ordering(StrEnum):
    # A later event of an order waits for the one before it.
    STRICT = "strict"
    BEST_EFFORT = "best_effort"


class Signature(StrEnum):
    """How a receiver knows that a message is the shop's."""

    # HMAC-SHA256 by a secret that the two share.
    V1 = "v1"
    # Ed25519, with the shop's public keys.
    V1A = "v1a"


class Disabled(StrEnum):
    """Why nothing is sent to an endpoint."""

    BY_HAND = "by_hand"
    # The receiver has answered 410.
    GONE = "gone"
    # For days, nothing but failures.
    FAILING = "failing"


# Nobody has asked for these: a person has to be told.
DISABLED_BY_SHOP: Final = (Disabled.GONE, Disabled.FAILING)


@frozen
class Secret:
    """What the shop and the receiver share. One that was replaced signs until a time, beside its successor."""

    text: str = field(repr=False)
    until: datetime | None = None


@define(kw_only=True)
class Endpoint:
    """Where events go, which, and how. `secrets` has the newest first.

    `version` counts the changes of what it wants, so that it is known by which choice an event was left out.
    """

    id: EndpointId = field(on_setattr=setters.frozen)
    url: str
    description: str = ""
    # Types, and beginnings of types with a star, as they were written.
    events: tuple[str, ...]
    payload: Payload = Payload.FULL
    ordering: Ordering = Ordering.STRICT
    headers: Mapping[str, str] = field(factory=dict, repr=lambda headers: f"{sorted(headers)}")
    rate_per_s: int | None = None
    max_concurrency: int = 4
    secrets: tuple[Secret, ...]
    version: int = 1
    disabled: Disabled | None = None
    disabled_at: datetime | None = None
    deleted_at: datetime | None = None
    created_at: datetime = field(on_setattr=setters.frozen)
    signature: Signature = Signature.V1

    @property
    def is_served(self) -> bool:
        return self.disabled is None and self.deleted_at is None

    def is_asked_like(self, other: "Endpoint") -> bool:
        """Whether the same receiver is asked in the same way, so that what it has answered tells how it is."""
        return (self.url, self.headers) == (other.url, other.headers)

    def signing(self, at: datetime) -> Sequence[str]:
        """The secrets that sign at this time, the newest first."""
        return [secret.text for secret in self.secrets if secret.until is None or secret.until > at]

    def rotate(self, secret: str, *, at: datetime, previous_until: datetime) -> None:
        """Sign with a new secret, and until a time with the ones before, too, if their own time is not over earlier.

        The last one may never have arrived: then the receiver has the one before it.
        """
        ends = (min(each.until or previous_until, previous_until) for each in self.secrets)
        kept = [evolve(each, until=end) for each, end in zip(self.secrets, ends, strict=True) if end > at]
        self.secrets = (Secret(secret), *kept[: MOST_SECRETS - 1])

    def want(self, events: Sequence[str]) -> None:
        if tuple(events) != self.events:
            self.events, self.version = tuple(events), self.version + 1

    def disable(self, why: Disabled, *, at: datetime) -> None:
        """Send nothing more. What waits is kept. One that is disabled stays so for its first reason."""
        if self.disabled is None:
            self.disabled, self.disabled_at = why, at

    def enable(self) -> None:
        if self.disabled is None:
            raise IllegalTransition("the endpoint is enabled already")
        self.disabled = self.disabled_at = None

    def delete(self, *, at: datetime) -> None:
        """Forget what is secret. The rest stays, so that its deliveries can be told of."""
        self.deleted_at, self.secrets, self.headers = at, (), {}


def expect_headers(headers: Mapping[str, str]) -> None:
    """Raise `InvalidEndpoint`."""
    if len(headers) > MAX_HEADERS:
        raise InvalidEndpoint(f"there are at most {MAX_HEADERS} headers", field="headers")
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidEndpoint("a header is there twice: case makes no difference", field="headers")
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise InvalidEndpoint(f"{name[:100]!r} is no name of a header", field="headers")
        if _OURS.fullmatch(name):
            raise InvalidEndpoint(f"{name} is set by the sender", field="headers")
        if len(value) > MAX_HEADER_VALUE or not value.isascii() or not value.isprintable() or value != value.strip():
            raise InvalidEndpoint(
                f"the value of {name} has at most {MAX_HEADER_VALUE} printable ASCII characters, and no space around",
                field="headers",
            )


def expect_description(description: str) -> None:
    """Raise `InvalidEndpoint`."""
    if len(description) > MAX_DESCRIPTION or not description.isprintable():
        raise InvalidEndpoint(f"it has at most {MAX_DESCRIPTION} printable characters", field="description")


def expect_limits(*, rate_per_s: int | None, max_concurrency: int) -> None:
    """Raise `InvalidEndpoint`."""
    if rate_per_s is not None and not 1 <= rate_per_s <= MOST_PER_SECOND:
        raise InvalidEndpoint(f"it is 1 to {MOST_PER_SECOND}, or null for no limit", field="rate_per_s")
    if not 1 <= max_concurrency <= MOST_AT_ONCE:
        raise InvalidEndpoint(f"it is 1 to {MOST_AT_ONCE}", field="max_concurrency")
