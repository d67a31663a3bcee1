"""Waiting for an order: one look after the other, each of which waits at the service for the next change."""

import time
from collections.abc import Collection
from dataclasses import dataclass

from holdfast_client.calls import LONGEST_WAIT, Call, get_order
from holdfast_client.errors import NotInTime
from holdfast_client.models import Order


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an order is waited for to have: one of the statuses, or a version at least."""

    statuses: Collection[str]
    version: int | None
    until: float

    @classmethod
    def begin(cls, status: str | Collection[str], version: int | None, timeout: float) -> "Waiting":
        if not status and version is None:
            raise ValueError("say for which status or for which version to wait")
        return cls({status} if isinstance(status, str) else status, version, time.monotonic() + timeout)

    def next_look(self, order: Order) -> Call[Order] | None:
        """Return the next look, or None if the order has what was waited for. Raise `NotInTime`."""
        if order.status in self.statuses or (self.version is not None and order.version >= self.version):
            return None
        left = self.until - time.monotonic()
        if left <= 0:
            raise NotInTime(order)
        return get_order(order.order_id, wait=round(min(left, LONGEST_WAIT), 3), min_version=order.version + 1)
