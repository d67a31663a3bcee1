from collections.abc import Sequence

from attrs import frozen

from application.ports.caching import CacheOwner, DatabaseMarks


@frozen
class KeepCachesToDatabase:
    """Invalidate the caches of a database that was restored from a backup, or is another one.

    Raise `Unavailable`. Then the caches stay in use, since orders that are accepted meanwhile must be readable.
    """

    _marks: DatabaseMarks
    _owners: Sequence[CacheOwner]

    async def __call__(self) -> None:
        # The last marks are read first. The database is asked after that, so it can't be behind them unless it was
        # set back, however many processes note its marks.
        before = [await owner.get() for owner in self._owners]
        mark = await self._marks.current()
        if mark is None:
            return
        for owner, since in zip(self._owners, before, strict=True):
            if mark != since:
                await owner.change(mark, since=since)
