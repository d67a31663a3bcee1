"""What the API returns of webhooks. Times are in UTC. What a later release adds is in `raw`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of webhooks. It has got everything up to `position` of the feed, and `behind` more events are there.

    `raw` has how it is sent to and how it answers.
    """

    endpoint_id: UUID
    url: str
    description: str
    events: tuple[str, ...]
    enabled: bool
    # `by_hand`, `gone` or `failing`.
    disabled_because: str | None
    position: int
    behind: int
    created_at: datetime
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            endpoint_id=UUID(body["endpoint_id"]),
            url=body["url"],
            description=body["description"],
            events=tuple(body["events"]),
            enabled=body["enabled"],
            disabled_because=body["disabled_because"],
            position=body["position"],
            behind=body["behind"],
            created_at=datetime.fromisoformat(body["created_at"]),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint with the secret that was made for it. The service shows the `secret` this once."""

    endpoint: Endpoint
    secret: str = field(repr=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(Endpoint.of(body["endpoint"]), body["secret"])


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to a receiver: what it answered, or in `failure` why there is no answer."""

    time: datetime
    ms: int
    status: int | None
    failure: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        return cls(datetime.fromisoformat(body["time"]), body["ms"], body["status"], body["failure"], body)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to an endpoint. `attempted` has each attempt where one delivery was asked for."""

    delivery_id: str
    endpoint_id: UUID
    position: int
    order_id: UUID
    sequence: int
    type: str
    time: datetime
    # PENDING, RETRYING, DELIVERED, EXHAUSTED or SKIPPED.
    status: str
    # Why it has not arrived.
    reason: str | None
    attempts: int
    next_at: datetime | None
    attempted: Sequence[Attempt] = field(repr=False, compare=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, body: Mapping[str, Any], attempted: Sequence[Attempt] = ()) -> Self:
        next_at = body["next_at"]
        return cls(
            delivery_id=body["delivery_id"],
            endpoint_id=UUID(body["endpoint_id"]),
            position=body["position"],
            order_id=UUID(body["order_id"]),
            sequence=body["sequence"],
            type=body["type"],
            time=datetime.fromisoformat(body["time"]),
            status=body["status"],
            reason=body["reason"],
            attempts=body["attempts"],
            next_at=None if next_at is None else datetime.fromisoformat(next_at),
            attempted=attempted,
            raw=body,
        )

    @classmethod
    def with_attempts(cls, body: Mapping[str, Any]) -> Self:
        return cls.of(body["delivery"], [Attempt.of(each) for each in body["attempts"]])
