"""When an event is sent again, and when a receiver is given a rest."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from zlib import crc32

_S, _M, _H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
# The pause after each attempt that failed; the first attempt is made at once.
PAUSES: Final[Sequence[timedelta]] = (5 * _S, 5 * _M, 30 * _M, 2 * _H, 5 * _H, 10 * _H, 14 * _H, 20 * _H, 24 * _H)
MAX_TRIES: Final = len(PAUSES) + 1
# By how much of itself a pause may be longer or shorter, so that not everything comes again at once.
_JITTER: Final = 0.1
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
# No delivery ever waits longer. A later time was written by a clock that was wrong.
LONGEST_PAUSE: Final = PAUSES[-1] * (1 + _JITTER)
# For so long, the later events of an order wait for one that fails.
HEAD_WAITS: Final = timedelta(hours=1)
# After so many failures in a row, the receiver is left alone; then one delivery tries it.
FAILURES_TO_PAUSE: Final = 10
_FIRST_REST: Final = timedelta(minutes=2)
LONGEST_REST: Final = timedelta(minutes=30)
# An endpoint is disabled after as long a time of nothing but failures, and not before there were many: a clock that is
# set must not end it.
FAILING_FOR: Final = timedelta(hours=120)
FAILURES_TO_DISABLE: Final = 50


def pause_after(tries: int, *, name: str, retry_after: timedelta | None = None) -> timedelta | None:
    """The pause after so many attempts that failed, or None after the last. `name` decides about the jitter."""
    if tries >= MAX_TRIES:
        return None
    # Spread by the name and not by chance, so that the same delivery has the same times wherever it is sent from.
    spread = crc32(f"{name} {tries}".encode()) / 0xFFFF_FFFF * 2 - 1
    pause = PAUSES[tries - 1] * (1 + _JITTER * spread)
    return pause if retry_after is None else max(pause, min(retry_after, LONGEST_RETRY_AFTER))


def rest_after(rests: int) -> timedelta:
    """How long a receiver is left alone for the first, the second, ... time in a row."""
    return min(_FIRST_REST * 2.0 ** min(rests - 1, 10), LONGEST_REST)
