from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

# In these years a moment exists in every time zone, and can be stored everywhere.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
Moment: Final = Annotated[datetime, Meta(tz=True)]


def moment_of(text: str) -> datetime:
    """Parse a time as RFC 3339 has it, and bring it into the years that can be stored. Raise `ValueError`."""
    return within_years(msgspec.convert(text, Moment))


def within_years(moment: datetime) -> datetime:
    return min(max(moment, _FIRST), _LAST)
