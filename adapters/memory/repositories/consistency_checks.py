from collections.abc import Mapping

from attrs import frozen

from adapters.memory.store import Changes, Checked


@frozen
class MemoryConsistencyChecks:
    _changes: Changes

    async def note(self, found: Mapping[str, int], *, whole: bool) -> None:
        checked, now = self._changes.checked, self._changes.store.now()
        for kind, count in found.items():
            before = checked[kind].at if kind in checked else None
            checked[kind] = Checked(count, now if whole else before)
