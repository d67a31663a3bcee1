from datetime import timedelta

from attrs import frozen

from adapters.memory.store import Changes
from domain.orders.time_to_pay import OpenPeriod


@frozen
class MemoryOpenPeriods:
    _changes: Changes

    async def note(self, *, longest_gap: timedelta) -> None:
        now = self._changes.store.now()
        noted = [period for period in self._noted() if period.since <= now]
        if noted and noted[-1].until >= now - longest_gap:
            noted[-1] = OpenPeriod(noted[-1].since, now)
        else:
            noted.append(OpenPeriod(now - longest_gap, now))
        self._changes.open_periods = noted

    async def newest(self, *, limit: int) -> list[OpenPeriod]:
        return self._noted()[::-1][:limit]

    def _noted(self) -> list[OpenPeriod]:
        return self._changes.store.open_periods if self._changes.open_periods is None else self._changes.open_periods
