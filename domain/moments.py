"""Moments that the clock of the database has set, and whether they have come."""

from datetime import datetime, timedelta
from typing import Final

# A transaction compares a moment with a time that it read some statements before. Another one may have set the moment
# in between, so that it is further away than any that was set before, by as much as a transaction takes.
_TRANSACTION: Final = timedelta(minutes=1)


def furthest(now: datetime, longest: timedelta) -> datetime:
    """The last moment that can have been set, where none is ever set further ahead than `longest`."""
    return now + longest + _TRANSACTION


def is_past(moment: datetime | None, now: datetime, *, longest: timedelta) -> bool:
    """Whether the moment has come. One that is further away than any can be is void: a clock was wrong."""
    return moment is None or not now < moment <= furthest(now, longest)
