"""The events that wait for their positions in the feed, a row for those that one statement has written."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, insert, select

from adapters.codecs.plain import plain
from adapters.sql.repositories.low_water_mark import LowWaterMark
from adapters.sql.tables.feed import feed_queue, feed_queue_mark
from domain.orders.events import Event

# Order, sequence and type.
QueuedEvent = tuple[UUID, int, str]

QUEUE: Final = insert(feed_queue).values(events=bindparam("queued_events", type_=feed_queue.c.events.type))

# Rows that are read at once. Most have a dozen events or more.
ROWS: Final = 64
MARK: Final = LowWaterMark(feed_queue.c.id, feed_queue_mark)
_IN_ORDER: Final = select(*feed_queue.c).order_by(feed_queue.c.id).limit(ROWS)
OLDEST: Final = _IN_ORDER.where(MARK.not_below)
FOLLOWING: Final = _IN_ORDER.where(feed_queue.c.id > bindparam("after"))

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODER: Final = msgspec.json.Decoder(list[QueuedEvent])


def queued(events: Sequence[Event]) -> dict[str, Any]:
    """Return the parameters of `QUEUE`."""
    listed = [(event.order_id, event.sequence, event.type) for event in events]
    return {"queued_events": _ENCODER.encode(listed).decode()}


def events_in(row: str) -> list[QueuedEvent]:
    return _DECODER.decode(row)
