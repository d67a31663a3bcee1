from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import frozen

from adapters.after_commit import Committed
from adapters.answers import decode, encode
from adapters.memory.overlay import Overlay
from application.idempotency import IdempotencyKey, Kept
from application.ports import Aborted
from domain.order import Order

# The fingerprint, the answer as bytes, which nobody can change from outside, and when it was given.
StoredAnswer = tuple[str, bytes, datetime]


@frozen
class MemoryIdempotencyKeys:
    _stored: Overlay[IdempotencyKey, StoredAnswer]
    _committed: Committed

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, Kept | None]:
        # There is one writer, who has claimed everything.
        found = {key: self._kept(key) for key in keys}
        self._committed.see(kept.answer for kept in found.values() if kept and isinstance(kept.answer, Order))
        return found

    async def add_many(self, kept: Sequence[Kept]) -> None:
        for new in kept:
            if new.key in self._stored:
                raise Aborted(f"something is kept under the key {new.key.value} already")
            self._stored[new.key] = (new.fingerprint, encode(new.answer), new.at)

    def _kept(self, key: IdempotencyKey) -> Kept | None:
        stored = self._stored.get(key)
        if stored is None:
            return None
        fingerprint, answer, at = stored
        return Kept(key, fingerprint, decode(answer), at)
