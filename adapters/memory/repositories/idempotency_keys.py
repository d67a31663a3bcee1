from collections.abc import Collection, Sequence

from attrs import frozen

from adapters.codecs.stored_responses import decode, encode
from adapters.memory.overlay import Overlay
from adapters.memory.store import StoredAnswer
from application.errors import Aborted
from application.execution.after_commit import Committed
from application.ports.idempotency import IdempotencyKey, StoredResponse
from domain.orders.order import Order


@frozen
class MemoryIdempotencyKeys:
    _stored: Overlay[IdempotencyKey, StoredAnswer]
    _committed: Committed

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        # The only writer has claimed every key.
        found = {key: self._kept(key) for key in keys}
        self._committed.see(kept.answer for kept in found.values() if kept and isinstance(kept.answer, Order))
        return found

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        for new in kept:
            if new.key in self._stored:
                raise Aborted(f"a response is stored under the key {new.key.value} already")
            self._stored[new.key] = (new.fingerprint, encode(new.answer), new.at)

    def _kept(self, key: IdempotencyKey) -> StoredResponse | None:
        stored = self._stored.get(key)
        if stored is None:
            return None
        fingerprint, answer, at = stored
        return StoredResponse(key, fingerprint, decode(answer), at)
