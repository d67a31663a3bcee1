"""What is sent to the receivers of webhooks: the event as the feed has it, signed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from attrs import evolve, frozen
from msgspec import UNSET, Struct, UnsetType

from adapters.codecs.feed_items import FeedItemBody
from adapters.codecs.plain import plain
from adapters.codecs.standard_webhooks import Signer, SigningKey, WebhookSecret, signed_headers
from application.execution.working_for import traceparent_of
from application.ports.webhooks import Told, WebhookRequest
from domain.orders.events import Event
from domain.webhooks.endpoint import Endpoint, InvalidEndpoint, Payload, Signature

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
    # The newest first. All of them sign, so that a receiver may know any of them.
    _keys: Sequence[SigningKey] = ()

    def new_secret(self, chance: str) -> str:
        return WebhookSecret(chance.encode()).told()

    def public_keys(self) -> list[str]:
        return [key.public() for key in self._keys]

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
        request = self._signed(
            endpoint, f"{event.order_id}/{event.sequence}", _body(endpoint, told.position, event), own=own, at=at
        )
        return evolve(request, age=at - event.at)

    def ping(self, endpoint: Endpoint, *, id_: UUID, at: datetime) -> WebhookRequest:
        body = _ENCODER.encode(PingBody(PING, at, {"endpoint_id": str(endpoint.id)}))
        return self._signed(endpoint, str(id_), body, own={}, at=at)

    def _signed(
        self, endpoint: Endpoint, id_: str, body: bytes, *, own: dict[str, str], at: datetime
    ) -> WebhookRequest:
        signed = signed_headers(self._signers(endpoint, at), id_, body, at=int(at.timestamp()))
        headers = {**endpoint.headers, "content-type": "application/json", **signed, **own}
        return WebhookRequest(url=endpoint.url, headers=headers, body=body)

    def _signers(self, endpoint: Endpoint, at: datetime) -> Sequence[Signer]:
        if endpoint.signature is Signature.V1:
            return [WebhookSecret.parse(text) for text in endpoint.signing(at)]
        if not self._keys:
            raise InvalidEndpoint("the key to sign with is gone: set HOLDFAST_WEBHOOK_SIGNING_KEYS", field="signature")
        return self._keys


def _body(endpoint: Endpoint, position: int, event: Event) -> bytes:
    thin = ThinBody(position, event.order_id, event.sequence, event.type, event.at)
    if endpoint.payload is Payload.THIN:
        return _ENCODER.encode(thin)
    body = _ENCODER.encode(FeedItemBody.at(position, event))
    return body if len(body) <= MAX_BODY else _ENCODER.encode(msgspec.structs.replace(thin, truncated=True))
