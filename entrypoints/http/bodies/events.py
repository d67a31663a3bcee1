"""The JSON of events: in the history of their order, and in the feed."""

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from adapters.codecs.announced import data_of
from adapters.codecs.feed_items import FeedItemBody
from domain.orders.events import Event


class EventBody(Struct, frozen=True):
    sequence: int
    type: str
    time: datetime
    # One of `EventData`: the type says which.
    data: Any
    request_id: str | UnsetType = UNSET

    @classmethod
    def of(cls, event: Event) -> "EventBody":
        return cls(event.sequence, event.type, event.at, data_of(event), event.request_id or UNSET)


class HistoryBody(Struct, frozen=True):
    items: list[EventBody]


class FeedBody(Struct, frozen=True):
    items: list[FeedItemBody]
    next: int


class FeedResetBody(Struct, frozen=True):
    """The events after the position of a reader are not kept. It reads the orders anew, and goes on after `newest`."""

    oldest: int
    newest: int
    detail: str
    orders: str = "/orders"
    exports: str = "/exports"
