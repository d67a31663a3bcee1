"""The JSON of an event at its position, in the feed and in webhooks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from adapters.codecs.announced import data_of
from application.ports.feed import FeedItem
from domain.orders.events import Event


class FeedItemBody(Struct, frozen=True):
    """An event, as in the history of its order, with its order and its position in the feed."""

    position: int
    order_id: UUID
    sequence: int
    type: str
    time: datetime
    data: Any
    request_id: str | UnsetType = UNSET

    @classmethod
    def of(cls, item: FeedItem) -> "FeedItemBody":
        return cls.at(item.position, item.event)

    @classmethod
    def at(cls, position: int, event: Event) -> "FeedItemBody":
        return cls(
            position,
            event.order_id,
            event.sequence,
            event.type,
            event.at,
            data_of(event),
            event.request_id or UNSET,
        )
