"""When an unpaid order has had its time to pay, a setting: only the time in which it could have been paid counts."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import frozen


@frozen
class OpenPeriod:
    """A time in which the shop was open: its database could be reached and an API ran, so that customers could pay."""

    since: datetime
    until: datetime


def payable_for(time: timedelta, periods: Iterable[OpenPeriod]) -> datetime | None:
    """Return the moment since which the shop has been open for this time in all, outages not counted.

    The periods are the newest first, by their beginning. They may overlap. None: they are too short in all.
    """
    left = time
    counted_from: datetime | None = None
    for period in periods:
        until = period.until if counted_from is None else min(period.until, counted_from)
        length = max(until - period.since, timedelta(0))
        if length >= left:
            return until - left
        left -= length
        counted_from = period.since
    return None
