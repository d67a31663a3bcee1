"""How many requests may be in progress at once."""

from entrypoints.http.server.concurrency_limit import ConcurrencyLimit


def limit_after(concurrency: ConcurrencyLimit, *, rate: float, seconds: float, now: float = 100.0) -> int:
    """Its limit when it was reached all the time, while so many a second were answered."""
    for tenth in range(int(seconds * 10) + 1):
        concurrency.reached(now=now + tenth / 10, answered=round(rate * tenth / 10))
    return concurrency.limit


def test_as_many_may_be_in_progress_as_are_answered_while_one_may_wait() -> None:
    for rate in (1_000, 4_000, 20_000):
        assert abs(limit_after(ConcurrencyLimit(), rate=rate, seconds=5) - 0.4 * rate) < 0.01 * rate


def test_a_service_that_answers_nothing_any_more_keeps_a_small_queue() -> None:
    concurrency = ConcurrencyLimit(least=16)
    before = concurrency.limit
    assert limit_after(concurrency, rate=0, seconds=5) == 16 < before


def test_a_service_that_answers_again_takes_more_again() -> None:
    concurrency = ConcurrencyLimit(least=16)
    limit_after(concurrency, rate=0, seconds=5)
    assert limit_after(concurrency, rate=3_000, seconds=2, now=105.1) > 800


def test_what_is_answered_in_a_lull_says_nothing_of_what_can_be() -> None:
    concurrency = ConcurrencyLimit()
    assert limit_after(concurrency, rate=1_000, seconds=5) < 420
    # An hour with one request a second.
    concurrency.reached(now=3_705, answered=8_600)
    assert concurrency.limit == ConcurrencyLimit().limit
    assert abs(limit_after(concurrency, rate=1_000, seconds=5, now=3_705) - 400) < 40


def test_a_moment_is_too_short_to_judge_by() -> None:
    concurrency = ConcurrencyLimit()
    concurrency.reached(now=100.0, answered=0)
    before = concurrency.limit
    concurrency.reached(now=100.001, answered=0)
    assert concurrency.limit == before
