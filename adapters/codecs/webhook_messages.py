"""What is sent to the receivers of webhooks: the event as the feed has it, signed."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from attrs import evolve, frozen
from msgspec import UNSET, Struct, UnsetType

from adapters.codecs.feed_items import FeedItemBody
from adapters.codecs.plain import plain
from adapters.codecs.standard_webhooks import WebhookSecret, signed_headers
from application.execution.working_for import traceparent_of
from application.ports.webhooks import Told, WebhookRequest
from domain.orders.events import Event
from domain.webhooks.endpoint import Endpoint, Payload

# Bytes. A larger body is sent without the data of the event.
MAX_BODY: Final = 20_000
PING: Final = "webhook.ping"
_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)


class ThinBody(Struct, frozen=True):
    """Which event it is, without its data. `truncated`: the receiver wants the data, and they are too large."""

    position: int
    order_id: UUID
    sequence: int
    type: str
    time: datetime
    truncated: bool | UnsetType = UNSET


class PingBody(Struct, frozen=True):
    type: str
    time: datetime
    data: dict[str, str]


@frozen
class SignedMessages:
    def new_secret(self, chance: str) -> str:
        return WebhookSecret(chance.encode()).told()

    def of_event(self, endpoint: Endpoint, told: Told, *, at: datetime) -> WebhookRequest:
        event = told.event
        own = {
            "holdfast-position": str(told.position),
            "holdfast-sequence": str(event.sequence),
            "holdfast-attempt": str(told.attempt),
        }
        if told.gap:
            own["holdfast-gap"] = "true"
        if (traceparent := traceparent_of(event.request_id)) is not None:
            own["traceparent"] = traceparent
        request = _signed(
            endpoint, f"{event.order_id}/{event.sequence}", _body(endpoint, told.position, event), own=own, at=at
        )
        return evolve(request, age=at - event.at)

    def ping(self, endpoint: Endpoint, *, id_: UUID, at: datetime) -> WebhookRequest:
        body = _ENCODER.encode(PingBody(PING, at, {"endpoint_id": str(endpoint.id)}))
        return _signed(endpoint, str(id_), body, own={}, at=at)


def _body(endpoint: Endpoint, position: int, event: Event) -> bytes:
    thin = ThinBody(position, event.order_id, event.sequence, event.type, event.at)
    if endpoint.payload is Payload.THIN:
        return _ENCODER.encode(thin)
    body = _ENCODER.encode(FeedItemBody.at(position, event))
    return body if len(body) <= MAX_BODY else _ENCODER.encode(msgspec.structs.replace(thin, truncated=True))


def _signed(endpoint: Endpoint, id_: str, body: bytes, *, own: dict[str, str], at: datetime) -> WebhookRequest:
    secrets = [WebhookSecret.parse(text) for text in endpoint.signing(at)]
    signed = signed_headers(secrets, id_, body, at=int(at.timestamp()))
    headers = {**endpoint.headers, "content-type": "application/json", **signed, **own}
    return WebhookRequest(url=endpoint.url, headers=headers, body=body)
