"""The shop at a glance."""

from datetime import datetime, timedelta

import pytest

from application.access.principal import SYSTEM
from application.overview.look_over import CountAccepted, MeasureTimeToPaid
from application.ports.overview import Upkeep, Waiting
from application.ports.payments import ProviderSilence
from tests.unit.builders import ManualClock
from tests.unit.shop import Shop

MINUTE = timedelta(minutes=1)


class Counted:
    """An overview that says which minutes were counted."""

    def __init__(self, times: list[timedelta] | None = None) -> None:
        self.asked: list[datetime] = []
        self.times = times or []

    async def accepted(self, moments: list[datetime], *, most: int) -> list[int]:
        self.asked += moments[:-1]
        return [1] * (len(moments) - 1)

    async def times_to_paid(self, *, events: int) -> list[timedelta]:
        return self.times

    async def waiting(self, *, stuck_after: timedelta) -> Waiting:
        raise NotImplementedError

    async def upkeep(self) -> Upkeep:
        raise NotImplementedError

    async def provider_silence(self) -> ProviderSilence | None:
        raise NotImplementedError


async def test_the_orders_of_the_last_hour_are_counted_by_minute(shop: Shop) -> None:
    pen = await shop.sells(stock=100)
    shop.clock.forward(-timedelta(seconds=shop.clock().second, microseconds=shop.clock().microsecond))
    await shop.order((pen, 1))
    shop.clock.forward(MINUTE * 2)
    await shop.order((pen, 1))
    await shop.order((pen, 1))
    shop.clock.forward(timedelta(seconds=1))
    accepted = await shop.use_cases.count_accepted(SYSTEM)
    assert (accepted.minutes[-3:], len(accepted.minutes)) == ([1, 0, 2], 60)
    assert accepted.per_second == 0.2
    shop.clock.forward(timedelta(minutes=58))
    assert sum((await shop.use_cases.count_accepted(SYSTEM)).minutes) == 2


async def test_a_minute_that_is_over_is_not_counted_again() -> None:
    clock, overview = ManualClock(), Counted()
    count = CountAccepted(overview, clock)
    await count()
    assert len(set(overview.asked)) == 61
    overview.asked.clear()
    clock.forward(MINUTE)
    accepted = await count()
    # The new one, the two before it, which may have got more orders since, and the last seconds.
    assert len(overview.asked) == 4
    assert accepted.minutes == [1] * 60


@pytest.mark.parametrize("minutes", [1, 2, 3, 59])
async def test_orders_of_the_minute_in_which_somebody_looked_are_counted_later(shop: Shop, minutes: int) -> None:
    pen = await shop.sells(stock=100)
    shop.clock.forward(-timedelta(seconds=shop.clock().second, microseconds=shop.clock().microsecond))
    await shop.order((pen, 1))
    shop.clock.forward(timedelta(seconds=10))
    assert (await shop.use_cases.count_accepted(SYSTEM)).minutes[-1] == 1
    await shop.order((pen, 1))
    shop.clock.forward(MINUTE * minutes)
    assert (await shop.use_cases.count_accepted(SYSTEM)).minutes[-1 - minutes] == 2


async def test_half_of_the_orders_and_99_of_100_are_paid_for_in_a_time() -> None:
    times = [timedelta(seconds=seconds) for seconds in range(1, 201)]
    found = await MeasureTimeToPaid(Counted(times[::-1]))()
    assert (found.orders, found.median, found.p99) == (200, timedelta(seconds=101), timedelta(seconds=199))
    nothing = await MeasureTimeToPaid(Counted())()
    assert (nothing.orders, nothing.median, nothing.p99) == (0, None, None)
