from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, frozen

from application.ports.environment import Clock
from application.ports.overview import Overview, Queues, QueueState, Upkeep, Waiting
from application.ports.payments import ProviderSilence

# An interval has so many orders, or more.
MOST_ACCEPTED: Final = 100_000
# Events that are looked through for payments.
_EVENTS: Final = 5000
# Seconds over which the present rate is taken.
_LATELY: Final = 10
_MINUTE: Final = timedelta(minutes=1)
_MINUTES: Final = 60


@frozen(kw_only=True)
class Accepted:
    """How many orders were accepted: a second, lately, and in each of the last minutes, the oldest first."""

    per_second: float
    # The beginning of the first minute.
    since: datetime
    minutes: Sequence[int]


@frozen(kw_only=True)
class TimesToPaid:
    """Half of the orders that were paid for lately took at most `median`, and 99 of 100 at most `p99`."""

    orders: int
    median: timedelta | None
    p99: timedelta | None


@define(eq=False)
class CountAccepted:
    """Count the accepted orders of the last hour. A minute is counted once when it has been over for a minute."""

    _overview: Overview
    _now: Clock
    # By their beginning.
    _counted: dict[datetime, int] = field(factory=dict, init=False)

    async def __call__(self) -> Accepted:
        now = self._now()
        current = now.replace(second=0, microsecond=0)
        starts = [current - _MINUTE * back for back in range(_MINUTES - 1, -1, -1)]
        new = [start for start in starts if start not in self._counted]
        counts = await self._overview.accepted([*new, new[-1] + _MINUTE], most=MOST_ACCEPTED)
        known = {**self._counted, **dict(zip(new, counts, strict=True))}
        # The one before the current may still get orders that were placed in it and recorded late.
        self._counted = {start: known[start] for start in starts if start < current - _MINUTE}
        [lately] = await self._overview.accepted([now - timedelta(seconds=_LATELY), now], most=MOST_ACCEPTED)
        return Accepted(per_second=lately / _LATELY, since=starts[0], minutes=[known[start] for start in starts])


@frozen
class MeasureTimeToPaid:
    """Measure how long orders take from their placing until they are paid for, of the last 5,000 events."""

    _overview: Overview

    async def __call__(self) -> TimesToPaid:
        times = sorted(await self._overview.times_to_paid(events=_EVENTS))
        return TimesToPaid(orders=len(times), median=_share(times, 0.5), p99=_share(times, 0.99))


@frozen
class SeeWaiting:
    """See what waits in the shop."""

    _overview: Overview
    _stuck_after: timedelta

    async def __call__(self) -> Waiting:
        return await self._overview.waiting(stuck_after=self._stuck_after)


@frozen
class SeeUpkeep:
    """See who is at work, and what the last consistency check has found."""

    _overview: Overview

    async def __call__(self) -> Upkeep:
        return await self._overview.upkeep()


@frozen
class SeeProvider:
    """See whether the payment provider answers: None, if it does or nobody asks it."""

    _overview: Overview

    async def __call__(self) -> ProviderSilence | None:
        return await self._overview.provider_silence()


@frozen
class SeeQueues:
    """See what is in the queues of the worker, and behind them."""

    _queues: Queues

    async def __call__(self) -> Sequence[QueueState]:
        return await self._queues.look()


def _share(times: Sequence[timedelta], share: float) -> timedelta | None:
    return times[min(len(times) - 1, int(len(times) * share))] if times else None
