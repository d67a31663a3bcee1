from collections.abc import Collection, Sequence
from datetime import timedelta
from operator import attrgetter

from attrs import field, frozen

from adapters.codecs.stored_responses import decode, encode
from adapters.memory.overlay import Overlay
from adapters.memory.store import StoredAnswer
from application.errors import Aborted
from application.execution.after_commit import Committed
from application.ports.environment import Clock
from application.ports.idempotency import IdempotencyKey, StoredResponse
from domain.orders.order import Order


@frozen
class MemoryIdempotencyKeys:
    _stored: Overlay[IdempotencyKey, StoredAnswer]
    _committed: Committed
    _now: Clock
    # What this transaction has removed.
    _pruned: set[IdempotencyKey] = field(factory=set)

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        # The only writer has claimed every key.
        found = {key: self._kept(key) for key in keys}
        self._committed.see(kept.answer for kept in found.values() if kept and isinstance(kept.answer, Order))
        return found

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        for new in kept:
            if new.key in self._stored and new.key not in self._pruned:
                raise Aborted(f"a response is stored under the key {new.key.value} already")
            self._pruned.discard(new.key)
            self._stored[new.key] = (new.fingerprint, encode(new.answer), self._now())

    async def prune(self, *, older_than: timedelta, after: IdempotencyKey | None, limit: int) -> IdempotencyKey | None:
        before = self._now() - older_than
        place = attrgetter("scope", "value")
        above = [key for key in self._stored if after is None or place(key) > place(after)]
        looked_at = sorted(above, key=place)[:limit]
        self._pruned.update(key for key in looked_at if self._stored[key][2] < before)
        return looked_at[-1] if len(looked_at) == limit else None

    def _kept(self, key: IdempotencyKey) -> StoredResponse | None:
        stored = self._stored.get(key)
        if stored is None or key in self._pruned:
            return None
        fingerprint, answer, _ = stored
        return StoredResponse(key, fingerprint, decode(answer))
