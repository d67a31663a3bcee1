from math import exp
from typing import Final

from attrs import define, field

# Seconds that a request may wait for its response under overload.
_AIM: Final = 0.4
# Responses a second, until the rate has been measured.
_PRESUMED: Final = 2000.0
# The limit is never lower: requests that share a batch and wait for a server cost almost no CPU.
_LEAST: Final = 128
# Seconds between two measurements, the time constant of their moving average, and seconds after which it is stale.
_LOOK_EVERY: Final = 0.05
_MEMORY: Final = 0.5
_STALE: Final = 2.0


@define(eq=False)
class ConcurrencyLimit:
    """The number of requests that may be in progress at once, so that each still gets its response in time.

    The limit is the rate of responses, multiplied by the time that a request may wait. The rate is measured whenever
    the limit is reached, because only then does the process work at its capacity. So nothing has to be configured: the
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
        """Measure the rate, and raise or lower the limit. `answered` counts the responses so far."""
        passed = now - self._looked_at
        if passed < _LOOK_EVERY:
            return
        seen = (answered - self._answered) / passed
        self._looked_at, self._answered = now, answered
        if passed < _STALE:
            memory = exp(-passed / _MEMORY)
            self._see(memory * self._rate + (1 - memory) * seen)
        else:
            # The limit was not reached for a while. The rate since then is the rate of the requests, not the capacity.
            self._see(self._presumed)

    def _see(self, rate: float) -> None:
        self._rate = rate
        self.limit = max(self._least, int(rate * _AIM))
