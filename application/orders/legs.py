"""What the time of an order went into, as far as it is stored: each leg has a beginning of its own.

Two moments of a leg may be of two clocks. So a leg may take less than no time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from domain.orders.events import (
    Event,
    OrderFailed,
    OrderPaid,
    OrderRefunded,
    PaymentRequested,
    RefundRequested,
    StockReserved,
)
from domain.orders.status import FailureReason


class LegName(StrEnum):
    """docs/traces.md says from which moment to which each leg goes."""

    FEED = "feed"
    QUEUE = "queue"
    WORKER = "worker"
    PROVIDER = "provider"
    WEBHOOK = "webhook"


# As a person reads it. `asked_at` is of the last attempt: those before it are in the leg before the provider's.
IN_WORDS: Final[Mapping[LegName, str]] = MappingProxyType(
    {
        LegName.FEED: "into the feed",
        LegName.QUEUE: "outbox, queue and earlier attempts",
        LegName.WORKER: "worker and earlier attempts",
        LegName.PROVIDER: "payment provider",
        LegName.WEBHOOK: "webhook",
    }
)


@frozen
class Leg:
    name: LegName
    took: timedelta


def legs_of(history: Sequence[Event], in_feed: Mapping[int, datetime]) -> Iterator[tuple[Event, Sequence[Leg]]]:
    """Yield each event with the legs that end with it, and its own way into the feed."""
    asked: datetime | None = None
    begun: datetime | None = None
    for event in history:
        if isinstance(event, PaymentRequested | RefundRequested):
            asked, begun = event.at, None
        elif isinstance(event, StockReserved):
            begun = event.at
        legs = [*_of_work(event, asked, begun), *_leg(LegName.FEED, event.at, in_feed.get(event.sequence))]
        yield event, legs


def _of_work(event: Event, asked: datetime | None, begun: datetime | None) -> Iterator[Leg]:
    """What a worker has done: `asked` is when that was requested, and `begun` when the worker reserved the stock."""
    if isinstance(event, StockReserved) or _lacked_stock(event):
        yield from _leg(LegName.QUEUE, asked, event.at)
    elif isinstance(event, OrderPaid | OrderFailed):
        yield from _leg(LegName.WORKER, begun, event.asked_at)
        yield from _leg(LegName.PROVIDER, event.asked_at, event.at)
    elif isinstance(event, OrderRefunded):
        # The worker writes nothing before it asks the provider.
        yield from _leg(LegName.QUEUE, asked, event.asked_at)
        yield from _leg(LegName.PROVIDER, event.asked_at, event.at)


def _lacked_stock(event: Event) -> bool:
    return isinstance(event, OrderFailed) and event.reason == FailureReason.OUT_OF_STOCK


def _leg(name: LegName, since: datetime | None, until: datetime | None) -> Iterator[Leg]:
    if since is not None and until is not None:
        yield Leg(name, until - since)


def webhook_leg(in_feed: datetime | None, finished: datetime | None) -> Sequence[Leg]:
    """From its place in the feed until the receiver has it, or gets it no more."""
    return [*_leg(LegName.WEBHOOK, in_feed, finished)]
