from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from domain.ids import OrderId
from domain.orders.events import Event

R = TypeVar("R")


@frozen
class ByOrder(Generic[R]):
    """Pass to a use case which orders the messages name, and the requests that caused them, and nothing else.

    Messages are not authenticated, and may be from before a restore of the database. So a message only names an
    order, and the database says whether anything is due. The id of a request only says what to look for in the logs.
    """

    _work: Callable[[Sequence[OrderId], Mapping[OrderId, str]], Awaitable[Sequence[R]]]

    async def __call__(self, messages: Sequence[Event]) -> Sequence[R]:
        request_ids = {each.order_id: each.request_id for each in messages if each.request_id is not None}
        return await self._work([message.order_id for message in messages], request_ids)
