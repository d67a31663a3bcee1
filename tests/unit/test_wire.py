import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import fields_dict

from adapters.codecs.events import MAX_BYTES, BadMessage, FromLaterRelease, NotJson, decode, encode
from domain.ids import MAX_ID, JobId, OrderId, UserId
from domain.money import MAX_MINOR
from domain.orders.details import Address, OrderDetails
from domain.orders.events import (
    EVENT_TYPES,
    AskedUnder,
    Event,
    OrderAccepted,
    OrderCancelled,
    OrderChangeAccepted,
    OrderChangeRefused,
    OrderCompleted,
    OrderDeleted,
    OrderDetailsChanged,
    OrderExpired,
    OrderFailed,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    PaymentRequested,
    RefundRequested,
    StockReserved,
)
from tests.unit.builders import LATER, NOW, PAYMENT, a_line, an_order, euros

_ORDER_ID = OrderId(an_order().id)
_DETAILS = OrderDetails(external_id="a", shipping_address=Address(city="Graz"), metadata={"a": "b"})
_REQUEST = "web-7"
EVENTS: list[Event] = [
    OrderAccepted(
        order_id=_ORDER_ID,
        at=NOW,
        request_id=_REQUEST,
        user_id=UserId(1),
        lines=(a_line(1),),
        total=euros(2500),
        asked_under=AskedUnder(scope="customer 1", key='a "key"', fingerprint="0af1"),
        pay=True,
        details=_DETAILS,
    ),
    OrderPlaced(
        order_id=_ORDER_ID,
        sequence=1,
        at=NOW,
        request_id=_REQUEST,
        user_id=UserId(MAX_ID),
        lines=(a_line(1), a_line(MAX_ID, quantity=1, price=MAX_MINOR - 2500)),
        total=euros(MAX_MINOR),
        details=_DETAILS,
    ),
    PaymentRequested(order_id=_ORDER_ID, sequence=2, at=NOW, request_id=_REQUEST, payment_id=PAYMENT, amount=euros(0)),
    StockReserved(order_id=_ORDER_ID, sequence=3, at=NOW.replace(microsecond=1), request_id=_REQUEST),
    OrderPaid(
        order_id=_ORDER_ID,
        sequence=4,
        at=LATER,
        request_id=_REQUEST,
        payment_id=PAYMENT,
        amount=euros(2500),
        asked_at=NOW,
    ),
    OrderFailed(
        order_id=_ORDER_ID,
        sequence=5,
        at=LATER,
        request_id=_REQUEST,
        payment_id=PAYMENT,
        reason="payment_declined",
        asked_at=NOW,
    ),
    OrderCancelled(order_id=_ORDER_ID, sequence=6, at=NOW, request_id=_REQUEST),
    OrderExpired(order_id=_ORDER_ID, sequence=7, at=NOW, request_id=_REQUEST),
    OrderCompleted(order_id=_ORDER_ID, sequence=8, at=NOW, request_id=_REQUEST),
    RefundRequested(
        order_id=_ORDER_ID, sequence=9, at=NOW, request_id=_REQUEST, payment_id=PAYMENT, amount=euros(2500)
    ),
    OrderRefunded(
        order_id=_ORDER_ID,
        sequence=10,
        at=LATER,
        request_id=_REQUEST,
        payment_id=PAYMENT,
        amount=euros(2500),
        asked_at=NOW,
    ),
    OrderDeleted(order_id=_ORDER_ID, sequence=2**31 - 1, at=NOW, request_id=_REQUEST),
    OrderDetailsChanged(order_id=_ORDER_ID, sequence=9, at=NOW, request_id=_REQUEST, details=_DETAILS),
    OrderChangeRefused(
        order_id=_ORDER_ID,
        sequence=3,
        at=NOW,
        request_id=_REQUEST,
        job_id=JobId(PAYMENT),
        change="cancel",
        code="illegal_transition",
        reason="PROCESSING cannot become CANCELLED",
    ),
    OrderChangeAccepted(
        order_id=_ORDER_ID,
        at=NOW,
        request_id=_REQUEST,
        job_id=JobId(PAYMENT),
        asked='{"change":"cancel"}',
        signature="0af1",
    ),
]
PAID = EVENTS[4]
_UNDER = {"scope": "customer 1", "key": "a", "fingerprint": "0af1"}


def changed(event: Event, **changes: Any) -> bytes:
    return json.dumps({**json.loads(encode(event)), **changes}).encode()


def without(event: Event, member: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(encode(event)).items() if key != member}).encode()


def test_there_is_an_example_of_every_event() -> None:
    assert {type(event) for event in EVENTS} == set(EVENT_TYPES)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_arrives_as_it_was_sent(event: Event) -> None:
    assert decode(encode(event)) == event
    assert decode(encode(event).decode()) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_message_is_one_json_object_that_names_its_type_and_schema(event: Event) -> None:
    message: Mapping[str, Any] = json.loads(encode(event))
    assert (message["type"], message["schema"]) == (event.type, 1)
    assert set(message) == {"type", "schema", *fields_dict(type(event))}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_what_a_later_release_adds_to_an_event_is_tolerated(event: Event) -> None:
    assert decode(changed(event, gift_wrapped=True, notes=[{"text": "thanks"}])) == event


def test_an_event_of_a_release_that_did_not_name_what_was_out_of_stock_is_read() -> None:
    failed = OrderFailed(order_id=_ORDER_ID, sequence=5, at=NOW, payment_id=PAYMENT, reason="out_of_stock")
    assert decode(without(failed, "out_of_stock")) == failed


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(b"hello", "malformed", id="not JSON"),
        pytest.param(b"\xff\xfe", "malformed", id="not text"),
        pytest.param(encode(PAID)[:-5], "truncated", id="cut off"),
        pytest.param(b"null", "object", id="null"),
        pytest.param(b"[]", "object", id="a list"),
        pytest.param(b"[" * 100_000, "", id="nested deeply"),
        pytest.param(b'{"type":"order.paid","schema":1,"x":' + b"[" * 100_000, "", id="nested deeply inside"),
        pytest.param(b" " * (MAX_BYTES + 1), f"at most {MAX_BYTES} bytes", id="too large"),
        pytest.param(changed(PAID, schema=2), "schema 2 is unknown", id="a future schema"),
        pytest.param(changed(PAID, sequence=2**31), "between 0 and", id="a sequence number of more than 31 bits"),
        pytest.param(changed(PAID, sequence=2**63), "between 0 and", id="a sequence number of more than 63 bits"),
        pytest.param(changed(PAID, sequence=-1), "between 0 and", id="a sequence number below zero"),
        pytest.param(changed(PAID, at="9999-12-31T23:59:59-14:00"), "no moment", id="a time after all others"),
        pytest.param(changed(PAID, at="0001-01-01T00:00:00+14:00"), "no moment", id="a time before all others"),
        pytest.param(changed(PAID, at="2026-01-01T00:00:00"), "no moment", id="a time without a zone"),
        pytest.param(changed(EVENTS[0], user_id=2**63), "the id of a customer", id="a user id of more than 63 bits"),
        pytest.param(
            changed(EVENTS[0], asked_under={"scope": "s", "key": "a\0", "fingerprint": "f"}),
            "printable",
            id="a null character",
        ),
        pytest.param(changed(PAID, schema="1"), "int", id="a schema that is no number"),
        pytest.param(changed(PAID, type="order.teleported"), "'order.teleported' is unknown", id="an unknown type"),
        pytest.param(without(PAID, "type"), "type", id="no type"),
        pytest.param(without(PAID, "order_id"), "order_id", id="no order"),
        pytest.param(changed(PAID, order_id="7"), "UUID", id="an id that is none"),
        pytest.param(changed(PAID, sequence="four"), "int", id="a sequence that is no number"),
        pytest.param(changed(PAID, amount={"minor": -1, "currency": "EUR"}), "", id="a negative amount"),
        pytest.param(changed(PAID, amount={"minor": 1, "currency": "euro"}), "", id="no currency"),
        pytest.param(changed(PAID, at="yesterday"), "datetime", id="no time"),
        *(
            pytest.param(
                changed(EVENTS[0], asked_under={**_UNDER, **bad}), next(iter(bad)), id=f"a key with {bad!r:.20}"
            )
            for bad in ({"key": ""}, {"key": "k" * 256}, {"key": "\0"}, {"scope": "s" * 65}, {"fingerprint": "\u0e01"})
        ),
        pytest.param(changed(EVENTS[0], lines=[{"product_id": 0}]), "", id="a product that can't be"),
    ],
)
def test_bytes_that_are_no_event_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as refusal:
        decode(body)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        # Somebody else's: there is nothing to repair.
        (b"forged", NotJson),
        (b"", NotJson),
        (b"\xff\xfe", NotJson),
        (b'{"type": "order.paid", "schema": 1, "at": ', NotJson),
        # An event that somebody may repair.
        (changed(PAID, sequence="four"), BadMessage),
        (changed(PAID, amount={"minor": 1, "currency": "euro"}), BadMessage),
        (b"[]", BadMessage),
        (b"7", BadMessage),
        # One that is replayed when the later release is there.
        (changed(PAID, schema=2), FromLaterRelease),
        (changed(PAID, type="order.teleported"), FromLaterRelease),
    ],
)
def test_what_a_person_treats_differently_is_told_apart(body: bytes, kind: type[BadMessage]) -> None:
    with pytest.raises(BadMessage) as refusal:
        decode(body)
    assert type(refusal.value) is kind


def test_a_message_as_large_as_may_be_is_read() -> None:
    body = encode(PAID)
    assert decode(body + b" " * (MAX_BYTES - len(body))) == PAID
