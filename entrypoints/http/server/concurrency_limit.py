from math import exp
from typing import Final

from attrs import define, field

# Seconds that a request may wait for its answer when there are more than can be answered.
_AIM: Final = 0.4
# Answers a second, for as long as nothing is known.
_PRESUMED: Final = 2000.0
# So many may be in progress at any time: what waits for a server, and shares a batch there, costs next to nothing.
_LEAST: Final = 128
# Seconds between two looks at the rate, seconds within which a look counts most, and seconds after which it is stale.
_LOOK_EVERY: Final = 0.05
_MEMORY: Final = 0.5
_STALE: Final = 2.0


@define(eq=False)
class ConcurrencyLimit:
    """How many requests may be in progress at once, so that none waits in a queue that is hopeless.

    As many as are answered in the time that one may wait: a queue of that length is through in that time, and no longer
    one is. The rate is seen whenever the limit is reached, for only then the process does all that it can. So nothing
    has to be set, and it holds on any machine, for any mixture of requests, and with servers of any speed.
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
        """Told, whenever the limit is reached, how many have been answered so far; may raise the limit, or lower it."""
        passed = now - self._looked_at
        if passed < _LOOK_EVERY:
            return
        seen = (answered - self._answered) / passed
        self._looked_at, self._answered = now, answered
        if passed < _STALE:
            memory = exp(-passed / _MEMORY)
            self._see(memory * self._rate + (1 - memory) * seen)
        else:
            # What was answered in a lull is what was asked, and not what could have been.
            self._see(self._presumed)

    def _see(self, rate: float) -> None:
        self._rate = rate
        self.limit = max(self._least, int(rate * _AIM))
