"""Messages in RabbitMQ: whoever reads those of today reads those of every later release of the same version.

A file in `golden/announcements` is what other services get, and one in `golden/work` what our own worker gets. None is
ever changed. An announcement that gets a new field gets a file with the next number.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from attrs import evolve
from pamqp import frame

from adapters.codecs.announced import VERSION
from adapters.codecs.events import BadMessage, decode, encode
from adapters.rabbitmq.announcements import announcement
from adapters.rabbitmq.frames import Message, publishing
from adapters.rabbitmq.publisher import work_message
from adapters.rabbitmq.topology import Topology
from application.execution.working_for import TracedId
from application.messaging.subscriptions import QUEUE_OF
from application.ports.outbox import OutboxEntry
from domain.orders.events import ACCEPTED_TYPES, event_id
from tests.contract.golden_values import EVENTS
from tests.contract.test_golden import golden, names_in, newest

SHOP: Final = Topology("shop")
ANNOUNCED: Final = [name for name, event in EVENTS.items() if not isinstance(event, ACCEPTED_TYPES)]
WORK: Final = [name for name, event in EVENTS.items() if event.type in QUEUE_OF]


def stored(name: str) -> OutboxEntry:
    """As some release has put it into the outbox."""
    event = EVENTS[name]
    return OutboxEntry(1, event_id(event), event.type, golden("events", name))


def announced(entry: OutboxEntry) -> Message:
    return announcement(entry, exchange=SHOP.exchange, namespace=SHOP.namespace)


def thing(name: str) -> str:
    return name.rsplit(".", 2)[0]


def file_of(kind: str, name: str) -> str:
    """The newest file about the same thing."""
    [found] = [file for file in newest(dict.fromkeys(names_in(kind))) if thing(file) == thing(name)]
    return found


def as_sent(message: Message) -> dict[str, Any]:
    """What RabbitMQ reads in the bytes that are written to it. The id of a message is another each time."""
    data, read = publishing(message, id_="id", channel=1, max_size=100_000), []
    while data:
        size, _, each = frame.unmarshal(data)
        read.append(each)
        data = data[size:]
    publish, header, body = read
    properties = dict(header.properties)
    headers = properties.pop("headers")
    return {
        "exchange": publish.exchange,
        "routing_key": publish.routing_key,
        "mandatory": publish.mandatory,
        "properties": {key: value for key, value in properties.items() if value and key != "message_id"},
        "headers": headers,
        "body": body.value.decode(),
    }


def contains(newer: Any, older: Any) -> bool:
    if isinstance(older, Mapping):
        return isinstance(newer, Mapping) and all(key in newer and contains(newer[key], older[key]) for key in older)
    if isinstance(older, list):
        return isinstance(newer, list) and len(newer) == len(older) and all(map(contains, newer, older))
    return bool(newer == older)


def test_every_event_has_its_messages() -> None:
    assert {thing(name) for name in names_in("announcements")} == {thing(name) for name in ANNOUNCED}
    assert {thing(name) for name in names_in("work")} == {thing(name) for name in WORK}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_other_services_get_what_is_known_whichever_release_stored_the_event(name: str) -> None:
    assert as_sent(announced(stored(name))) == json.loads(golden("announcements", file_of("announcements", name)))


@pytest.mark.parametrize("name", WORK)
def test_our_worker_gets_the_event_as_it_was_stored(name: str) -> None:
    entry = stored(name)
    sent = as_sent(work_message(entry, SHOP))
    assert sent | {"body": ""} == json.loads(golden("work", file_of("work", name))) | {"body": ""}
    assert decode(sent["body"]) == EVENTS[name]


@pytest.mark.parametrize("file", sorted(names_in("work")))
def test_a_message_that_an_earlier_release_sent_to_our_worker_is_read(file: str) -> None:
    [event] = [EVENTS[name] for name in newest(dict.fromkeys(WORK)) if thing(name) == thing(file)]
    assert decode(json.loads(golden("work", file))["body"]) == event


@pytest.mark.parametrize("file", sorted(names_in("announcements")))
def test_within_a_version_fields_are_only_added(file: str) -> None:
    older = json.loads(golden("announcements", file))
    newer = json.loads(golden("announcements", file_of("announcements", file)))
    if older["headers"]["cloudEvents_dataschema"].rsplit(":", 1)[1] == str(VERSION):
        assert contains({**newer, "body": json.loads(newer["body"])}, {**older, "body": json.loads(older["body"])})


def test_another_service_can_go_on_with_the_trace_of_an_event() -> None:
    event = EVENTS["order.paid.1.json"]
    assert "cloudEvents_traceparent" not in as_sent(announced(stored("order.paid.1.json")))["headers"]
    place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = encode(evolve(event, request_id=TracedId.of("monday", place)))
    sent = as_sent(announced(OutboxEntry(1, event_id(event), event.type, body)))
    assert (sent["headers"]["cloudEvents_traceparent"], sent["headers"]["cloudEvents_requestid"]) == (place, "monday")
    # What a body has, the contract of the body says.
    assert json.loads(sent["body"]).keys() == {"order_id", "sequence", "type", "time", "data", "request_id"}


def test_an_accepted_order_is_never_announced() -> None:
    with pytest.raises(BadMessage, match=r"order\.accepted.*not announced"):
        announced(stored("order.accepted.1.json"))
