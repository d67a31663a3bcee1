"""Time and ids, which are given."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

Clock = Callable[[], datetime]
NewId = Callable[[], UUID]
