"""Three times what the service can do: how much it still does, and how soon it is itself again."""

from collections import Counter
from collections.abc import Callable

from attrs import field, frozen

from bench.open_loop import Load, Result, run

# A client that has waited this long for its order has gone elsewhere.
DEADLINE = 1.0
# The search for the peak: where it begins, and which share of a rate counts as keeping up with it.
_FIRST_RATE = 250.0
_STEP = 2.0
_KEEPS_UP = 0.7
_QUIET_SHARE = 0.5
_PLACED = (201, 202)
_REFUSED = (429, 503)
# The load around the overload, for its latency before and after.
_BEFORE = 5.0
_AFTER = 12.0


@frozen(kw_only=True)
class Overload:
    """Rates are requests a second, times are seconds."""

    peak_goodput: float
    """The most that was answered in time, at any rate that was tried."""
    offered: float
    goodput: float
    """What was answered in time while `offered` was asked for."""
    outcomes: Counter[int]
    """How the requests of the overload were answered; see `open_loop` for what is no status."""
    p99_before: float
    p50_good: float
    """Of those that were answered well during the overload, as the next two."""
    p99_good: float
    p999_good: float
    p99_refused: float
    p99_after: float
    recovered_after: float
    """From the end of the overload until requests were answered as before it, for good; infinite if they never were."""
    by_second: list[Counter[int]] = field(repr=False)

    @property
    def orders(self) -> int:
        """Those that were placed, in time or not."""
        return sum(self.outcomes[status] for status in _PLACED)

    @property
    def answers(self) -> int:
        """Orders and refusals."""
        return self.orders + sum(self.outcomes[status] for status in _REFUSED)


def measure_overload(
    port: int,
    request: Callable[[int], bytes],
    *,
    look: Callable[[], None],
    times: float = 3.0,
    seconds: float = 10.0,
) -> Overload:
    """Find the peak, ask for so many times as much, and watch until all is as before.

    `request` makes the n-th order, as in `Load`. The service has been started, and has products to sell. `look` is
    called when the overload begins, and when it ends.
    """
    peak = find_peak(port, request)
    quiet, offered = _QUIET_SHARE * peak, times * peak
    end = _BEFORE + seconds
    result = run(
        Load(
            port=port,
            rate=lambda t: offered if _BEFORE <= t < end else quiet,
            seconds=end + _AFTER,
            request=request,
            connections=2000,
            looks=[(moment, look) for moment in (_BEFORE, end)],
        )
    )
    before, during = result.between(1.0, _BEFORE), result.between(_BEFORE, end)
    p99_before = before.percentile(0.99)
    return Overload(
        peak_goodput=peak,
        offered=len(during.due) / seconds,
        goodput=during.good(within=DEADLINE) / seconds,
        outcomes=during.by_status(),
        p99_before=p99_before,
        p50_good=during.percentile(0.5, _PLACED),
        p99_good=during.percentile(0.99, _PLACED),
        p999_good=during.percentile(0.999, _PLACED),
        p99_refused=during.percentile(0.99, _REFUSED),
        p99_after=result.between(end + _AFTER / 2, end + _AFTER).percentile(0.99),
        recovered_after=_recovery(result, end, p99_before),
        by_second=result.by_second(),
    )


def find_peak(port: int, request: Callable[[int], bytes], *, seconds: float = 3.0) -> float:
    """The highest goodput of all rates that were tried: up and up until it falls behind, then around that."""

    def goodput(rate: float) -> float:
        result = run(Load(port=port, rate=lambda _: rate, seconds=seconds, request=request))
        return result.good(within=DEADLINE) / seconds

    rate, peak = _FIRST_RATE, 0.0
    while (reached := goodput(rate)) > _KEEPS_UP * rate:
        rate, peak = rate * _STEP, reached
    peak = max(peak, reached)
    return max(peak, *(goodput(share * peak) for share in (1.0, 1.2, 1.5)))


def _recovery(result: Result, end: float, p99_before: float) -> float:
    """The first half second from which on every one is as good as those before the overload: within twice its p99."""
    bound = max(2 * p99_before, p99_before + 0.1)
    recovered = float("inf")
    step = 0.5
    for index in reversed(range(int(_AFTER / step))):
        part = result.between(end + index * step, end + (index + 1) * step)
        if part.good(within=bound) < 0.99 * len(part.due):
            break
        recovered = index * step
    return recovered
