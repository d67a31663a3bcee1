"""What the body of a webhook has: the whole event, or which one it is."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from standardwebhooks import Webhook

from adapters.codecs.webhook_messages import MAX_BODY, SignedMessages
from application.ports.webhooks import Told, WebhookRequest
from domain.ids import EndpointId
from domain.orders.details import OrderDetails
from domain.orders.events import OrderPlaced
from domain.webhooks.endpoint import Endpoint, Payload, Secret
from tests.unit.builders import NOW, placed

SECRET = SignedMessages().new_secret("x" * 32)
# Which event it is.
WHICH = {"position", "order_id", "sequence", "type", "time"}


def sent(note: str, payload: Payload) -> WebhookRequest:
    event: OrderPlaced = evolve(placed()[1], details=OrderDetails(note=note))
    endpoint = Endpoint(
        id=EndpointId(UUID(int=1)),
        url="https://receiver.example/",
        events=("*",),
        payload=payload,
        secrets=(Secret(SECRET),),
        created_at=NOW,
    )
    told = Told(position=4711, event=event, attempt=1)
    return SignedMessages().of_event(endpoint, told, at=datetime.now(UTC))


def body(note: str, payload: Payload = Payload.FULL) -> dict[str, Any]:
    """Return what a receiver reads of it, who verifies it first."""
    request = sent(note, payload)
    Webhook(SECRET).verify(request.body, dict(request.headers))
    found: dict[str, Any] = json.loads(request.body)
    assert (found["position"], found["sequence"], found["type"]) == (4711, 1, "order.placed")
    assert (UUID(found["order_id"]), datetime.fromisoformat(found["time"])) == (UUID(int=1), NOW)
    return found


def test_a_full_event_has_its_data() -> None:
    found = body("ring twice")
    assert found.keys() == WHICH | {"data"}
    assert found["data"]["note"] == "ring twice"


@pytest.mark.parametrize("note", ["ring twice", "x" * MAX_BODY], ids=["small", "large"])
def test_a_thin_event_says_which_one_it_is_and_nothing_else(note: str) -> None:
    assert body(note, Payload.THIN).keys() == WHICH


@pytest.mark.parametrize("character", ["x", "é", "\n"])
def test_an_event_of_too_many_bytes_goes_without_its_data_and_says_so(character: str) -> None:
    one = len(sent(2 * character, Payload.FULL).body) - len(sent(character, Payload.FULL).body)
    bare = len(sent(character, Payload.FULL).body) - one
    fitting, over = divmod(MAX_BODY - bare, one)
    largest = character * fitting + "x" * over
    assert len(sent(largest, Payload.FULL).body) == MAX_BODY
    assert body(largest).keys() == WHICH | {"data"}

    found = body(largest + "x")
    assert found.keys() == WHICH | {"truncated"}
    assert found["truncated"] is True
