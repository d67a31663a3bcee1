"""`/asyncapi.json` is valid, describes what is sent, and is made of the types that are sent."""

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from adapters.codecs.announced import ANNOUNCED, AnnouncedEvent
from adapters.rabbitmq.topology import Topology
from entrypoints.http.asyncapi import document
from tests.contract.test_golden import GOLDEN, names_in, newest
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

_SCHEMA: Final = Path(__file__).with_name("asyncapi_schema") / "3.0.0.json.gz"
DOCUMENT: Final = document("shop")
# What is sent today, by the names of the files.
SENT: Final = {
    name: json.loads((GOLDEN / "announcements" / name).read_bytes())
    for name in newest(dict.fromkeys(names_in("announcements")))
}


def errors_in(value: Any, reference: str) -> list[str]:
    schema = {"$ref": reference, "components": DOCUMENT["components"]}
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(value)]


def test_the_document_is_valid_by_the_schema_of_asyncapi() -> None:
    validator = Draft7Validator(json.loads(gzip.decompress(_SCHEMA.read_bytes())))
    assert list(validator.iter_errors(DOCUMENT)) == []
    assert list(validator.iter_errors({**DOCUMENT, "operations": {"x": {"action": "shout"}}}))


async def test_anybody_may_read_the_document() -> None:
    response = await Browser(app_over(Shop().use_cases, namespace="shop")).get("/asyncapi.json")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.body == json.loads(json.dumps(DOCUMENT))


def test_every_event_that_is_announced_has_a_channel_a_message_and_a_schema() -> None:
    types = {kind.type for kind in ANNOUNCED}
    assert DOCUMENT["channels"].keys() == DOCUMENT["components"]["messages"].keys() == types
    assert types <= DOCUMENT["components"]["schemas"].keys()
    assert {sent["routing_key"] for sent in SENT.values()} == types
    exchanges = {channel["bindings"]["amqp"]["exchange"]["name"] for channel in DOCUMENT["channels"].values()}
    assert exchanges == {sent["exchange"] for sent in SENT.values()} == {Topology("shop").exchange}


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_what_the_document_says(name: str) -> None:
    sent, type_ = SENT[name], SENT[name]["routing_key"]
    message = DOCUMENT["components"]["messages"][type_]
    assert errors_in(json.loads(sent["body"]), message["payload"]["$ref"]) == []
    headers = Draft202012Validator(message["headers"])
    assert [error.message for error in headers.iter_errors(sent["headers"])] == []
    assert sent["headers"].keys() <= message["headers"]["properties"].keys()
    assert sent["properties"]["message_type"] == message["bindings"]["amqp"]["messageType"]
    assert sent["properties"]["content_type"] == message["contentType"]


@pytest.mark.parametrize("name", SENT)
def test_a_body_that_lacks_or_spoils_a_field_is_found(name: str) -> None:
    """Otherwise the test above would say nothing."""
    reference = f"#/components/schemas/{SENT[name]['routing_key']}"
    body = json.loads(SENT[name]["body"])
    for member in AnnouncedEvent.__struct_fields__:
        lacking = errors_in({key: value for key, value in body.items() if key != member}, reference)
        assert bool(lacking) == (member != "request_id")
        assert errors_in({**body, member: True}, reference)
    for member in body["data"]:
        assert errors_in({**body, "data": {**body["data"], member: [[]]}}, reference)
