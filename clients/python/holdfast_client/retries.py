"""When a request is sent again. It never is where that could do a thing twice."""

from dataclasses import dataclass
from random import uniform
from typing import Final

import httpx

from holdfast_client.errors import ApiError, HoldfastError, NoAnswer

# The request was not sent, so that nothing can have happened.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent at most, and the pauses in seconds: they double, with jitter.

    A `Retry-After` is honoured up to the longest pause.
    """

    attempts: int = 5
    first_pause: float = 0.1
    longest_pause: float = 5.0

    def pause_after(self, failed: int, error: HoldfastError) -> float | None:
        """Return the pause before the next attempt after so many have failed, or None if there should be none."""
        if failed >= self.attempts or not _may_be_repeated(error):
            return None
        longest = min(self.longest_pause, self.first_pause * 2.0 ** (failed - 1))
        asked_for = getattr(error, "retry_after", None) or 0.0
        if asked_for > self.longest_pause:
            return None
        return max(asked_for, uniform(longest / 2, longest))  # noqa: S311 - no secret hangs on it


def _may_be_repeated(error: HoldfastError) -> bool:
    if isinstance(error, ApiError):
        return error.retryable
    return isinstance(error, NoAnswer) and not error.may_have_happened


def no_answer(error: httpx.TransportError, *, repeats: bool) -> NoAnswer:
    """Turn an error of the transport into ours. A request that `repeats` safely has done nothing that matters."""
    may_have_happened = not (repeats or isinstance(error, _NOT_SENT))
    words = str(error) or type(error).__name__
    return NoAnswer(f"no answer from {error.request.url.host}: {words}", may_have_happened=may_have_happened)
