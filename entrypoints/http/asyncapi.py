"""The document that describes the events in RabbitMQ, as AsyncAPI 3 wants it, made of the types that are sent."""

from typing import Any, Final

import msgspec

from adapters.codecs.announced import ANNOUNCED, DATA_OF, VERSION, AnnouncedEvent
from adapters.codecs.cloud_events import AMQP_PREFIX, ATTRIBUTES, OPTIONAL, attributes_of_type
from adapters.rabbitmq.topology import Topology
from domain.orders.events import Event

# The version of the bindings for AMQP 0-9-1 that the document follows.
_BINDING: Final = "0.3.0"
_REF: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = (
    "Each change of an order is announced, to whoever binds a queue to the exchange. An event comes at least once, and"
    " the events of one order come in sequence. Ignore fields that you don't know: new ones may be added at any time."
)


def document(namespace: str) -> dict[str, Any]:
    exchange = Topology(namespace).exchange
    kinds = {kind.type: kind for kind in ANNOUNCED}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Holdfast: events", "version": str(VERSION), "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {type_: _channel(type_, exchange) for type_ in kinds},
        "operations": {f"announce.{type_}": _operation(type_) for type_ in kinds},
        "components": {
            "messages": {type_: _message(kind, namespace) for type_, kind in kinds.items()},
            "schemas": schemas(),
        },
    }


def schemas() -> dict[str, Any]:
    """Return the JSON Schema of the body of each event, by its type, and of what it refers to, by name."""
    types = [AnnouncedEvent, *dict.fromkeys(DATA_OF.values())]
    _, found = msgspec.json.schema_components(types, ref_template=_REF)
    envelope = found.pop(AnnouncedEvent.__name__)
    for kind in ANNOUNCED:
        own = {"type": {"const": kind.type}, "data": {"$ref": _REF.format(name=DATA_OF[kind].__name__)}}
        properties = {name: {**schema, **own.get(name, {})} for name, schema in envelope["properties"].items()}
        found[kind.type] = {**envelope, "title": kind.type, "description": meaning(kind), "properties": properties}
    return found


def meaning(kind: type[Event]) -> str:
    """Return what the event says, for people: the first paragraph of its docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _channel(type_: str, exchange: str) -> dict[str, Any]:
    return {
        "address": type_,
        "messages": {type_: {"$ref": f"#/components/messages/{type_}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(type_: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{type_}"},
        "messages": [{"$ref": f"#/channels/{type_}/messages/{type_}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": False, "bindingVersion": _BINDING}},
    }


def _message(kind: type[Event], namespace: str) -> dict[str, Any]:
    constant = attributes_of_type(kind.type, namespace)
    headers = {
        AMQP_PREFIX + name: {"type": "string", "description": text}
        | ({"const": constant[name]} if name in constant else {})
        for name, text in ATTRIBUTES.items()
    }
    required = sorted(AMQP_PREFIX + name for name in ATTRIBUTES.keys() - OPTIONAL)
    return {
        "name": kind.type,
        "summary": meaning(kind),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": headers,
            "required": required,
        },
        "payload": {"$ref": _REF.format(name=kind.type)},
        "bindings": {"amqp": {"messageType": kind.type, "bindingVersion": _BINDING}},
    }
