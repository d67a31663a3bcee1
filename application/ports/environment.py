"""Time and new ids, as arguments, so that tests can choose them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

Clock = Callable[[], datetime]
# Seconds since any moment, which nobody can set.
Elapsed = Callable[[], float]
NewId = Callable[[], UUID]
# 32 random characters of base62, which nobody can guess.
NewSecret = Callable[[], str]


def loop_time() -> float:
    return asyncio.get_running_loop().time()
