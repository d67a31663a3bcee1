from collections import ChainMap
from collections.abc import Collection, Sequence

from attrs import frozen

from adapters.memory.store import Changes
from application.ports.persistence import OrderConflict
from domain.ids import OrderId
from domain.orders.events import Event, event_id


@frozen
class MemoryEvents:
    _changes: Changes

    async def add_many(self, events: Sequence[Event]) -> None:
        for event in events:
            id_ = event_id(event)
            if id_ in self._changes.store.events or id_ in self._changes.events:
                raise OrderConflict(f"order {event.order_id} has an event {event.sequence} already")
            self._changes.events[id_] = event
            self._changes.sending.append(event)
            self._changes.committed.events.append(event)
            self._changes.committed.outbox = True

    async def of_orders(self, ids: Collection[OrderId]) -> list[Event]:
        found = ChainMap(self._changes.events, self._changes.store.events)
        return [found[id_] for id_ in sorted(found) if id_.order_id in ids]
