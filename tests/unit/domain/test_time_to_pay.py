from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.orders.time_to_pay import OpenPeriod, payable_for
from tests.unit.builders import NOW


def period(since: int, until: int) -> OpenPeriod:
    return OpenPeriod(NOW + timedelta(minutes=since), NOW + timedelta(minutes=until))


def counted(minutes: int, *periods: OpenPeriod) -> int | None:
    moment = payable_for(timedelta(minutes=minutes), periods)
    return None if moment is None else int((moment - NOW) / timedelta(minutes=1))


def test_without_an_outage_every_minute_counts() -> None:
    assert counted(30, period(0, 100)) == 70
    assert counted(100, period(0, 100)) == 0
    assert counted(101, period(0, 100)) is None
    assert counted(30) is None


def test_outages_are_left_out() -> None:
    assert counted(30, period(90, 100), period(40, 50), period(0, 20)) == 10
    assert counted(20, period(90, 100), period(40, 50), period(0, 20)) == 40


def test_periods_that_overlap_count_once() -> None:
    """Two workers noticed the end of an outage at the same moment."""
    assert counted(30, period(91, 100), period(90, 95), period(0, 50)) == 30
    assert counted(30, period(90, 100), period(0, 200)) == 70


@given(
    lengths=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=6),
    minutes=st.integers(1, 200),
)
def test_it_is_the_latest_moment_since_which_so_many_minutes_were_open(
    lengths: list[tuple[int, int]], minutes: int
) -> None:
    periods, at = [], 0
    for length, outage in lengths:
        periods.insert(0, period(at, at + length))
        at += length + outage
    open_minutes = [minute for minute in range(at) if any(_covers(each, minute) for each in periods)]
    expected = open_minutes[-minutes] if len(open_minutes) >= minutes else None
    assert counted(minutes, *periods) == expected


def _covers(each: OpenPeriod, minute: int) -> bool:
    return each.since <= NOW + timedelta(minutes=minute) < each.until
