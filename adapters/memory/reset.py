from collections import Counter

from attrs import evolve, frozen

from adapters.memory.store import MemoryStore
from application.ports.audit import AuditEntry
from domain.ids import ProductId
from domain.webhooks.progress import begun_after


@frozen
class MemoryResetData:
    _store: MemoryStore

    async def __call__(self, noted: AuditEntry) -> int:
        store = self._store
        async with store.writing:
            count = len(store.orders)
            for rows in (
                *(store.orders, store.payments, store.events, store.outbox, store.announcements, store.waiting_work),
                *(store.feed_queue, store.feed, store.idempotency_keys, store.dead_letters, store.recorded_at),
                *(store.jobs, store.messages, store.files, store.webhook_deliveries),
            ):
                rows.clear()
            counted_in = Counter[ProductId]()
            for adjustment in store.adjustments:
                counted_in[adjustment.product_id] += adjustment.change
            for id_, product in store.products.items():
                store.products[id_] = evolve(product, stock=counted_in[id_], version=product.version + 1)
            for endpoint_id in store.webhook_progress:
                store.webhook_progress[endpoint_id] = begun_after(endpoint_id, store.feed_given)
            store.feed_pruned, store.reset_at = store.feed_given, noted.at
            store.audit.append(evolve(noted, id=len(store.audit) + 1, before={"orders": count}))
        return count
