"""An event as a message to others: a CloudEvent in binary mode, so that its headers tell what its body is about.

The binding of CloudEvents to AMQP is for AMQP 1.0. RabbitMQ hands the headers of AMQP 0-9-1 to clients of 1.0 as the
application properties that this binding wants.
"""

from functools import lru_cache
from struct import Struct
from typing import Final

from msgspec import UnsetType

from adapters.codecs.announced import announced
from adapters.codecs.cloud_events import AMQP_PREFIX, REQUEST_ID, TRACEPARENT, attributes_of_type
from adapters.codecs.events import traceparent_in
from adapters.rabbitmq.frames import Message, header, header_key
from application.ports.outbox import OutboxEntry

_LENGTH: Final = Struct(">I")
_ID: Final = header_key(AMQP_PREFIX + "id")
_SUBJECT: Final = header_key(AMQP_PREFIX + "subject")
_TIME: Final = header_key(AMQP_PREFIX + "time")
_REQUEST_ID: Final = header_key(AMQP_PREFIX + REQUEST_ID)
_TRACEPARENT: Final = header_key(AMQP_PREFIX + TRACEPARENT)
_SEQUENCE: Final = header_key(AMQP_PREFIX + "sequence") + _LENGTH.pack(10)


def announcement(entry: OutboxEntry, *, exchange: str, namespace: str) -> Message:
    """Nobody need listen, so it is not mandatory. Raise `BadMessage`."""
    body, order_id, time, request_id = announced(entry)
    headers = _of_type(entry.type, namespace) + _of_event(
        order_id.encode(), entry.id.sequence, time.encode(), request_id, traceparent_in(entry.body)
    )
    return Message(entry.type, body, entry.type, headers, exchange, mandatory=False)


@lru_cache(256)
def _of_type(type_: str, namespace: str) -> bytes:
    return b"".join(header(AMQP_PREFIX + name, value) for name, value in attributes_of_type(type_, namespace).items())


def _of_event(
    order_id: bytes, sequence: int, time: bytes, request_id: str | UnsetType, traceparent: str | None
) -> bytes:
    # In one join: a call of `header` for each would take three times as long, for every event.
    id_ = b"%b/%d" % (order_id, sequence)
    named: tuple[tuple[bytes, bytes], ...] = ((_ID, id_), (_SUBJECT, order_id), (_TIME, time))
    if request_id:
        named += ((_REQUEST_ID, request_id.encode()),)
    if traceparent:
        named += ((_TRACEPARENT, traceparent.encode()),)
    parts = [part for key, value in named for part in (key, _LENGTH.pack(len(value)), value)]
    return b"".join((*parts, _SEQUENCE, b"%010d" % sequence))
