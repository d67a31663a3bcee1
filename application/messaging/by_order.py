from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from domain.ids import OrderId
from domain.orders.events import Event

R = TypeVar("R")


@frozen
class ByOrder(Generic[R]):
    """Pass to a use case which orders the messages name, and nothing else.

    Messages are not authenticated, and may be from before a restore of the database. So a message only names an
    order, and the database says whether anything is due.
    """

    _work: Callable[[Sequence[OrderId]], Awaitable[Sequence[R]]]

    async def __call__(self, messages: Sequence[Event]) -> Sequence[R]:
        return await self._work([message.order_id for message in messages])
