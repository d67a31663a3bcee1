from collections.abc import Sequence

from attrs import frozen

from adapters.memory.overlay import Overlay
from domain.ids import JobId, OrderId
from domain.message import Message


@frozen
class MemoryMessages:
    _messages: Overlay[JobId, Message]

    async def add_many(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.id not in self._messages:
                self._messages[message.id] = message

    async def page(self, *, order_id: OrderId | None, before: JobId | None, limit: int) -> list[Message]:
        newest_first = sorted(self._messages.values(), key=lambda each: (each.created_at, each.id), reverse=True)
        if before is not None:
            start = self._messages.get(before)
            newest_first = newest_first[newest_first.index(start) + 1 :] if start is not None else []
        return [message for message in newest_first if order_id in {None, message.order_id}][:limit]
