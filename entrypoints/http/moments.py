from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from entrypoints.setting_values import seconds_in

# In these years a moment exists in every time zone, and can be stored everywhere.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
Moment: Final = Annotated[datetime, Meta(tz=True)]


def moment_of(text: str) -> datetime:
    """Parse a time as RFC 3339 has it, and bring it into the years that can be stored. Raise `ValueError`."""
    return within_years(msgspec.convert(text, Moment))


def overlap_in(text: str) -> timedelta:
    """Parse for how long a key or a secret works on beside its successor, as in 24h, or 0. Raise `ValueError`."""
    try:
        return timedelta(0) if text == "0" else timedelta(seconds=seconds_in(text))
    except OverflowError as error:
        raise ValueError(str(error)) from None


def within_years(moment: datetime) -> datetime:
    return min(max(moment, _FIRST), _LAST)
