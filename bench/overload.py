"""Overload, three times the peak: how much the service still does, and how soon it recovers."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean

from attrs import field, frozen

from bench.open_loop import Load, Result, run

# The client's timeout for an order.
DEADLINE = 1.0
PLACED = (201, 202)
REFUSED = (429, 503)
# The search for the peak: where it begins, and which share of a rate counts as keeping up with it.
_FIRST_RATE = 250.0
_STEP = 2.0
_KEEPS_UP = 0.7
_QUIET_SHARE = 0.5
# Seconds until the queue has its final length. Until then, the service works on requests without finishing them.
_SETTLES = 1.0
# The load around the overload, for its latency before and after.
_BEFORE = 5.0
_AFTER = 12.0
# The peak and the overload take turns, so that a change of the machine's speed affects both. The peak is offered a
# little more than was done the last time, so that a lack of requests is not the limit.
_TURNS = 6
_FULL = 1.2


@frozen(kw_only=True)
class Overload:
    """Rates are requests a second, times are seconds."""

    peak_goodput: float
    """The goodput while slightly more was offered than the service can do."""
    offered: float
    goodput: float
    """The goodput while `offered` was asked for."""
    turns: Sequence[Result] = field(repr=False)
    """What was due each time that `offered` was asked for."""
    p99_before: float
    p99_refused: float
    p99_after: float
    recovered_after: float
    """From the end of the overload until requests were answered as before it, for good; infinite if they never were."""
    placed: int
    """All orders from beginning to end, in time or not."""

    @property
    def outcomes(self) -> Counter[int]:
        """How the requests of the overload were answered; see `open_loop` for what is no status."""
        return sum((turn.by_status() for turn in self.turns), Counter())


def measure_overload(
    port: int,
    request: Callable[[int], bytes],
    *,
    look: Callable[[], None],
    times: float = 3.0,
    seconds: float = 10.0,
) -> Overload:
    """Ask by turns for the peak and for so many times as much as was done then, and watch until all is as before.

    `request` makes the n-th order, as in `Load`. The service has been started, and has products to sell. `look` is
    called whenever the overload has settled, and whenever it ends; settled it goes on for so many seconds in all.
    """
    turn = _SETTLES + seconds / _TURNS
    goodput = find_peak(port, request)
    quiet = _QUIET_SHARE * goodput

    def ask(rate: float, *, seconds: float = turn, after: float = 0.0, looks: Sequence[float] = ()) -> Result:
        return run(
            Load(
                port=port,
                rate=lambda now: rate if now < seconds else quiet,
                seconds=seconds + after,
                request=request,
                connections=2000,
                looks=[(moment, look) for moment in looks],
            )
        )

    before = ask(quiet, seconds=_BEFORE)
    peaks, overloads = list[Result](), list[Result]()
    for number in range(_TURNS):
        peaks.append(ask(_FULL * goodput))
        goodput = _goodput(peaks[-1], turn)
        overloads.append(ask(times * goodput, after=_AFTER if number == _TURNS - 1 else 0.0, looks=(_SETTLES, turn)))
    turns, last = [result.between(_SETTLES, turn) for result in overloads], overloads[-1]
    p99_before = before.between(1.0, _BEFORE).percentile(0.99)
    return Overload(
        peak_goodput=mean(_goodput(result, turn) for result in peaks),
        offered=_TURNS / seconds * mean(len(result.due) for result in turns),
        goodput=mean(_goodput(result, turn) for result in overloads),
        turns=turns,
        p99_before=p99_before,
        p99_refused=max(result.percentile(0.99, REFUSED) for result in turns),
        p99_after=last.between(turn + _AFTER / 2, turn + _AFTER).percentile(0.99),
        recovered_after=_recovery(last, turn, p99_before),
        placed=sum(status in PLACED for result in (before, *peaks, *overloads) for status in result.status),
    )


def find_peak(port: int, request: Callable[[int], bytes], *, seconds: float = 3.0) -> float:
    """The highest goodput of all rates that were tried: up and up until it falls behind, then around that."""

    def goodput(rate: float) -> float:
        return _goodput(run(Load(port=port, rate=lambda _: rate, seconds=seconds, request=request)), seconds)

    rate, peak = _FIRST_RATE, 0.0
    while (reached := goodput(rate)) > _KEEPS_UP * rate:
        rate, peak = rate * _STEP, reached
    peak = max(peak, reached)
    return max(peak, *(goodput(share * peak) for share in (1.0, 1.2, 1.5)))


def _goodput(result: Result, end: float) -> float:
    """What was answered in time in each second, from when the queue had settled."""
    return result.answered_between(_SETTLES, end).good(within=DEADLINE) / (end - _SETTLES)


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
