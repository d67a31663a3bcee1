"""What every port may raise, and time and ids, which are given."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

Clock = Callable[[], datetime]
NewId = Callable[[], UUID]


class Unavailable(Exception):
    """A server can't be reached, or did not answer in time. What was asked of it may have happened or not."""


class Aborted(Exception):
    """Nothing happened: a deadlock, a lock that took too long. Trying again may succeed."""
