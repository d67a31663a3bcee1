"""Where a repeated look begins, so that it doesn't walk over what is done.

While a session holds back PostgreSQL's vacuum, what has left an index stays in it. A look from the beginning of the
index walks over all of it, and what has left a queue stood at the beginning.
"""

from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

# What came so shortly before is looked at again: its transaction may have been open still.
_LATE_COMMIT: Final = timedelta(minutes=1)


@define(eq=False)
class RepeatedLook:
    """Remembers, in the process that looks, the moment before which the last look left nothing.

    The first look goes over everything, and so does one now and then: something may have come to stand behind the
    moment, because a clock was wrong or a row was locked. So does a look after the clock was set back.
    """

    _whole_at: datetime | None = field(default=None, init=False)
    _nothing_before: datetime | None = field(default=None, init=False)

    def begin(
        self, moment: datetime, *, whole_every: timedelta, late_commit: timedelta = _LATE_COMMIT
    ) -> datetime | None:
        """Return since when this look, which goes up to the moment, has to look. None: it looks at everything.

        Under a lock that every writer takes, nothing is committed late.
        """
        whole, nothing_before = self._whole_at, self._nothing_before
        if whole is None or nothing_before is None or not whole <= moment < whole + whole_every:
            return None
        return nothing_before - late_commit if nothing_before <= moment else None

    def end(self, moment: datetime, since: datetime | None, *, nothing_before: datetime) -> None:
        """Note what the look has left: nothing from before that moment. A look that failed is not noted."""
        if since is None:
            self._whole_at = moment
        self._nothing_before = nothing_before
