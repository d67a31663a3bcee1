from math import exp
from typing import Final

from attrs import define, field

# Seconds that a request may wait for its answer under overload.
_AIM: Final = 0.4
# Answers a second, until the rate has been measured.
_PRESUMED: Final = 2000.0
# So many may be in progress at any time: requests that share a batch, and wait for a server, cost next to nothing.
_LEAST: Final = 128
# Seconds between two measurements, seconds in which one counts most, and seconds after which it is stale.
_LOOK_EVERY: Final = 0.05
_MEMORY: Final = 0.5
_STALE: Final = 2.0


@define(eq=False)
class ConcurrencyLimit:
    """How many requests may be in progress at once, so that each can still be answered in time.

    The limit is the number of requests that are answered in the time that one may wait. The rate is measured whenever
    the limit is reached, because only then the process works at its capacity. So nothing has to be configured: the
    limit follows the machine, the mixture of requests, and the speed of the servers.
    """

    _presumed: float = field(default=_PRESUMED, kw_only=True)
    _least: int = field(default=_LEAST, kw_only=True)
    limit: int = field(init=False)
    _rate: float = field(init=False)
    _looked_at: float = field(default=float("-inf"), init=False)
    _answered: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._see(self._presumed)

    def reached(self, *, now: float, answered: int) -> None:
        """Measure the rate, and raise or lower the limit. `answered` counts the answers so far."""
        passed = now - self._looked_at
        if passed < _LOOK_EVERY:
            return
        seen = (answered - self._answered) / passed
        self._looked_at, self._answered = now, answered
        if passed < _STALE:
            memory = exp(-passed / _MEMORY)
            self._see(memory * self._rate + (1 - memory) * seen)
        else:
            # The rate in a lull is the rate of the requests, not the capacity.
            self._see(self._presumed)

    def _see(self, rate: float) -> None:
        self._rate = rate
        self.limit = max(self._least, int(rate * _AIM))
