"""The JSON of webhook endpoints and of deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from application.ports.broken import BrokenEndpoint
from application.ports.webhooks import Attempt, AttemptFailure
from application.webhooks.deliveries import Attempted, RecoverRequest
from application.webhooks.destinations import LONGEST_URL, RefusedUrl, read_url
from application.webhooks.endpoints import NewEndpoint, WithSecret
from application.webhooks.operating import NOW, WHERE_IT_STOPPED
from application.webhooks.standing import Standing
from domain.ids import MAX_ID, EndpointId
from domain.webhooks.delivery import Delivery, DeliveryStatus, Undelivered
from domain.webhooks.endpoint import (
    MAX_DESCRIPTION,
    MAX_EVENTS,
    MAX_HEADER_VALUE,
    MAX_HEADERS,
    MOST_AT_ONCE,
    MOST_PER_SECOND,
    Disabled,
    InvalidEndpoint,
    Ordering,
    Payload,
    Signature,
    expect_description,
    expect_headers,
)
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.field_errors import Rule
from entrypoints.http.moments import overlap_in, within_years
from entrypoints.http.query import TYPE_PATTERN


def _expect_url(url: str) -> None:
    """Which networks a shop opens for webhooks is a setting of its own, which the use case knows."""
    try:
        read_url(url)
    except RefusedUrl as error:
        raise InvalidEndpoint(str(error)) from None


_Url = Annotated[str, Meta(min_length=1, max_length=LONGEST_URL), Rule(_expect_url)]
_Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION), Rule(expect_description)]
_Pattern = Annotated[str, Meta(pattern=rf"^({TYPE_PATTERN}|\*)\Z")]
_Events = Annotated[tuple[_Pattern, ...], Meta(min_length=1, max_length=MAX_EVENTS)]
_Headers = Annotated[
    dict[str, Annotated[str, Meta(max_length=MAX_HEADER_VALUE)]], Meta(max_length=MAX_HEADERS), Rule(expect_headers)
]
_Rate = Annotated[int, Meta(ge=1, le=MOST_PER_SECOND)]
_Concurrency = Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)]
_Moment = Annotated[datetime, Meta(tz=True)]

_CHANGEABLE = (
    *("url", "description", "events", "payload", "ordering", "signature"),
    *("headers", "rate_per_s", "max_concurrency", "enabled"),
)


class NewEndpointBody(LookedThrough, frozen=True, forbid_unknown_fields=True, kw_only=True):
    url: _Url
    events: _Events
    description: _Description = ""
    payload: Payload = Payload.FULL
    ordering: Ordering = Ordering.STRICT
    signature: Signature = Signature.V1
    headers: _Headers = field(default_factory=dict)
    rate_per_s: _Rate | None = None
    max_concurrency: _Concurrency = 4

    def to_new(self) -> NewEndpoint:
        return NewEndpoint(
            url=self.url,
            events=self.events,
            description=self.description,
            payload=self.payload,
            ordering=self.ordering,
            signature=self.signature,
            headers=self.headers,
            rate_per_s=self.rate_per_s,
            max_concurrency=self.max_concurrency,
        )


class ChangeEndpointBody(LookedThrough, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is. `enabled` can only be false here: whoever enables says where to go on."""

    url: _Url | UnsetType = UNSET
    events: _Events | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    payload: Payload | UnsetType = UNSET
    ordering: Ordering | UnsetType = UNSET
    signature: Signature | UnsetType = UNSET
    headers: _Headers | UnsetType = UNSET
    rate_per_s: _Rate | UnsetType | None = UNSET
    max_concurrency: _Concurrency | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET

    def changes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _CHANGEABLE if getattr(self, name) is not UNSET}


class RotateSecretBody(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long the secret before signs as well, as in 24h."""

    # A rule, whose refusal says more than that of a pattern.
    previous_valid_for: Annotated[
        str, Meta(extra_json_schema={"pattern": r"^(0|[0-9]+(\.[0-9]+)?(ms|s|m|h|d))\Z"}), Rule(overlap_in)
    ] = "0"

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class EnableEndpointBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the endpoint goes on: `now`, with new events alone; `where_it_stopped`; or after a position."""

    resume_from: Annotated[str, Meta(pattern=rf"^({NOW}|{WHERE_IT_STOPPED})\Z")] | Annotated[int, Meta(ge=0, le=MAX_ID)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class RecoverBody(LookedThrough, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Events that happened in this time, and that the endpoint does not have. Without types, all of them."""

    since: _Moment
    until: _Moment | None = None
    types: Annotated[tuple[_Pattern, ...], Meta(max_length=MAX_EVENTS)] = ()

    def to_request(self, endpoint_id: EndpointId) -> RecoverRequest:
        return RecoverRequest(
            endpoint_id=endpoint_id,
            since=within_years(self.since),
            until=None if self.until is None else within_years(self.until),
            types=self.types,
        )


class EndpointBody(Struct, frozen=True):
    """`headers` has names alone, since values may be secret. `behind` is how many positions come after `position`."""

    endpoint_id: UUID
    url: str
    description: str
    events: tuple[str, ...]
    payload: Payload
    ordering: Ordering
    signature: Signature
    headers: list[str]
    rate_per_s: int | None
    max_concurrency: int
    enabled: bool
    disabled_because: Disabled | None
    disabled_at: datetime | None
    created_at: datetime
    position: int
    behind: int
    filtered: int
    lost: int
    failures_in_a_row: int
    failing_since: datetime | None
    rests_until: datetime | None

    @classmethod
    def of(cls, standing: Standing) -> "EndpointBody":
        endpoint, progress = standing.endpoint, standing.progress
        return cls(
            endpoint.id,
            endpoint.url,
            endpoint.description,
            endpoint.events,
            endpoint.payload,
            endpoint.ordering,
            endpoint.signature,
            sorted(endpoint.headers),
            endpoint.rate_per_s,
            endpoint.max_concurrency,
            endpoint.is_served,
            endpoint.disabled,
            endpoint.disabled_at,
            endpoint.created_at,
            progress.position,
            max(0, standing.newest - progress.position),
            progress.filtered,
            progress.lost,
            progress.failures,
            progress.failing_since,
            progress.rests_until,
        )


class BrokenEndpointBody(Struct, frozen=True):
    """An endpoint that can't be shown, since what is stored of it breaks a rule."""

    endpoint_id: UUID
    detail: str

    @classmethod
    def of(cls, endpoint: BrokenEndpoint) -> "BrokenEndpointBody":
        return cls(endpoint.id, str(endpoint))


class EndpointsBody(Struct, frozen=True):
    items: list[EndpointBody]
    next: str | None
    # Those that belong to this page and can't be shown, if there are any.
    broken: list[BrokenEndpointBody] | UnsetType = UNSET


class EndpointWithSecretBody(Struct, frozen=True):
    """An endpoint, and the secret by which its receiver knows the shop. It is shown here for the only time."""

    secret: str
    endpoint: EndpointBody

    @classmethod
    def of(cls, made: WithSecret) -> "EndpointWithSecretBody":
        return cls(made.secret, EndpointBody.of(made.standing))


class SigningKeysBody(Struct, frozen=True):
    """The public keys of the shop, as Standard Webhooks writes them: Ed25519, the newest first."""

    keys: Sequence[str]


class DeliveryBody(Struct, frozen=True):
    """An event on its way to an endpoint. `time` is that of the event, `outcome` that of the last attempt."""

    delivery_id: str
    endpoint_id: UUID
    position: int
    order_id: UUID
    sequence: int
    type: str
    time: datetime
    status: DeliveryStatus
    reason: Undelivered | None
    attempts: int
    outcome: str
    next_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryBody":
        return cls(
            str(delivery.id),
            delivery.id.endpoint_id,
            delivery.id.position,
            delivery.order_id,
            delivery.sequence,
            delivery.type,
            delivery.at,
            delivery.status,
            delivery.reason,
            delivery.attempts,
            delivery.outcome,
            delivery.next_at,
            delivery.finished_at,
        )


class DeliveriesBody(Struct, frozen=True):
    items: list[DeliveryBody]
    next: str | None


class AttemptBody(Struct, frozen=True):
    """One attempt: the address that was connected to, and the beginning of what the receiver answered."""

    time: datetime
    ms: int
    address: str | None
    status: int | None
    failure: AttemptFailure | None
    headers: dict[str, str]
    body: str

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptBody":
        return cls(
            attempt.at,
            attempt.duration_ms,
            attempt.address,
            attempt.status,
            attempt.failure,
            {_readable(name): _readable(value) for name, value in attempt.headers.items()},
            attempt.body.decode(errors="replace"),
        )


class DeliveryWithAttemptsBody(Struct, frozen=True):
    delivery: DeliveryBody
    attempts: list[AttemptBody]

    @classmethod
    def of(cls, attempted: Attempted) -> "DeliveryWithAttemptsBody":
        return cls(DeliveryBody.of(attempted.delivery), [AttemptBody.of(each) for each in attempted.attempts])


def _readable(text: str) -> str:
    return text.encode(errors="replace").decode()
