"""Whether the payment provider answers, as those who call it see it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

from application.errors import Trouble
from application.ports.environment import Clock
from application.ports.payments import ProviderReport, ProviderSilence

# One call that fails among others that succeed is no silence.
_SILENT_AFTER: Final = timedelta(seconds=10)
# A request is tried again within seconds. When no call has failed for so long, nothing waits for the provider here.
_FORGOTTEN_AFTER: Final = timedelta(minutes=5)


@define(eq=False)
class ProviderCalls:
    """Notes how the calls of this process to the provider go."""

    _now: Clock
    _answered_at: datetime | None = field(default=None, init=False)
    _silent_since: datetime | None = field(default=None, init=False)
    _failed_at: datetime | None = field(default=None, init=False)
    _failed_calls: int = field(default=0, init=False)

    @contextmanager
    def one(self) -> Generator[None, None, None]:
        """The call is made in the block. `Trouble` means that it got no answer; a cancelled call tells nothing."""
        begun = self._now()
        try:
            yield
        except Trouble:
            if self._is_forgotten():
                self._silent_since, self._failed_calls = None, 0
            self._failed_at = self._now()
            self._failed_calls += 1
            if self._silent_since is None:
                # Others may have been answered while this one waited.
                self._silent_since = max(begun, self._answered_at or begun)
            raise
        self._answered_at = self._now()
        self._silent_since, self._failed_calls = None, 0

    def report(self) -> ProviderReport:
        since = self._silent_since
        if since is None or self._now() - since < _SILENT_AFTER or self._is_forgotten():
            return ProviderReport(answered_at=self._answered_at)
        return ProviderReport(answered_at=self._answered_at, silent_since=since, failed_calls=self._failed_calls)

    def _is_forgotten(self) -> bool:
        return self._failed_at is not None and self._now() - self._failed_at > _FORGOTTEN_AFTER


def silence_of(reports: Sequence[ProviderReport]) -> ProviderSilence | None:
    """The silence of the provider, or None: one of the processes got an answer after the calls of others had failed."""
    answered_at = max((each.answered_at for each in reports if each.answered_at is not None), default=None)
    silent = [
        (each.silent_since, each.failed_calls)
        for each in reports
        if each.silent_since is not None and (answered_at is None or each.silent_since >= answered_at)
    ]
    if not silent:
        return None
    return ProviderSilence(since=min(since for since, _ in silent), failed_calls=sum(failed for _, failed in silent))
