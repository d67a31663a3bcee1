"""Makes docs/events.md from the types that are sent: `.venv/bin/python -m tests.unit.events_page` writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from adapters.codecs.announced import ANNOUNCED, DATA_OF, VERSION, AnnouncedEvent, ItemData
from adapters.codecs.cloud_events import AMQP_PREFIX, ATTRIBUTES
from adapters.rabbitmq.topology import Topology
from entrypoints.http.asyncapi import document, meaning

PAGE: Final = Path(__file__).parents[2] / "docs" / "events.md"

_INTRODUCTION: Final = """\
# Events

<!-- Made from the types: `.venv/bin/python -m tests.unit.events_page` writes this page. A test compares the two. -->

With RabbitMQ, each change of an order is announced to other services. `GET /asyncapi.json` describes the same for
programs, as AsyncAPI 3, with a JSON Schema of each body.

## Receive them

Bind a queue of your own to the topic exchange `{exchange}`. `HOLDFAST_NAMESPACE` is the first part of its name. The
routing key is the type of the event: `order.paid`, `order.*`, or `#` for all. Rely on the exchange alone. The queues
whose names begin with the namespace are Holdfast's own, and their messages have another form, which changes without
notice.

- Each event comes at least once. An event that comes again has the same id.
- The events of one order come in sequence. Events of different orders come in any order.
- A queue that refuses events gets them later. A queue that is gone misses them. The history over HTTP has them all.

## Versions

This is version {version}. Within a version, a field keeps its name and its meaning. Fields and types of events are
only added, so ignore those that you don't know. The attribute `dataschema` ends in the version.

## Headers

An event is a [CloudEvent](https://cloudevents.io) 1.0 in binary mode: its attributes are headers of the message, with
`{prefix}` before their names. `content_type` is `application/json`, the property `type` is the type of the event, and
messages are persistent.

| header | meaning |
|---|---|
"""
_BODY: Final = """
## Body

The body has the same fields as an event in the history of an order over HTTP, and the order's id.

"""


def page() -> str:
    introduction = _INTRODUCTION.format(exchange=Topology().exchange, version=VERSION, prefix=AMQP_PREFIX)
    return introduction + "\n".join([*_headers(), _BODY.rstrip("\n"), "", *_bodies()]) + "\n"


def _headers() -> Iterator[str]:
    for name, text in ATTRIBUTES.items():
        yield f"| `{AMQP_PREFIX}{name}` | {text} |"


def _bodies() -> Iterator[str]:
    schemas = document("holdfast")["components"]["schemas"]
    body = schemas[ANNOUNCED[0].type]["properties"]
    yield from _fields({name: body[name] for name in AnnouncedEvent.__struct_fields__ if name != "data"})
    yield "| `data` | object | see below |"
    yield from ("", "## Types", "", "| type | meaning | `data` |", "|---|---|---|")
    for kind in ANNOUNCED:
        fields = ", ".join(f"`{name}`" for name in DATA_OF[kind].__struct_fields__) or "empty"
        yield f"| `{kind.type}` | {meaning(kind)} | {fields} |"
    for data in dict.fromkeys(DATA_OF.values()):
        if data.__struct_fields__:
            types = ", ".join(f"`{kind.type}`" for kind in ANNOUNCED if DATA_OF[kind] is data)
            yield from ("", f"### The data of {types}", "", schemas[data.__name__]["description"], "")
            yield from _fields(schemas[data.__name__]["properties"])
            if "items" in data.__struct_fields__:
                yield from ("", "Each of `items` has:", "")
                yield from _fields(schemas[ItemData.__name__]["properties"])


def _fields(properties: dict[str, Any]) -> Iterator[str]:
    yield from ("| field | type | meaning |", "|---|---|---|")
    for name, schema in properties.items():
        yield f"| `{name}` | {_type(schema)} | {schema.get('description', '')} |"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        items = schema["items"]
        return "list of " + ("objects" if "$ref" in items else f"{_type(items)}s")
    return {"date-time": "time", "uuid": "UUID"}.get(schema.get("format", ""), schema.get("type", "string"))


if __name__ == "__main__":
    PAGE.write_text(page())
