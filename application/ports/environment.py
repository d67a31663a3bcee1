"""Time and new ids, as arguments, so that tests can choose them."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

Clock = Callable[[], datetime]
NewId = Callable[[], UUID]
# 32 random characters of base62, which nobody can guess.
NewSecret = Callable[[], str]
