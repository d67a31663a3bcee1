"""Find orders by the part of an id that a person sees."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from attrs import field, frozen

from application.access.principal import Principal
from application.orders.read_each import readable_orders
from application.ports.caching import RecentOrders
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.orders.order import Order

# Characters of an id that its beginning has at least: ids of one minute share them.
SHORTEST_BEGINNING: Final = 8
# Ids that are looked at for their end. Those that begin with the same 13 characters are of one millisecond.
_MOST_LOOKED_AT: Final = 1000


@frozen
class IdPart:
    """The beginning of an id, in lower case with its hyphens, and its end, which may be empty."""

    beginning: str
    end: str = ""

    @property
    def first(self) -> OrderId:
        return OrderId(UUID(self.beginning + _LOWEST[len(self.beginning) :]))

    @property
    def last(self) -> OrderId:
        return OrderId(UUID(self.beginning + _HIGHEST[len(self.beginning) :]))

    def is_of(self, id_: OrderId) -> bool:
        return str(id_).startswith(self.beginning) and str(id_).endswith(self.end)


@frozen
class FoundByIdPart:
    """Orders whose ids have this part, the latest ids first. With `more`, there are others."""

    orders: Sequence[Order]
    more: bool


@frozen
class FindByIdPart:
    """Find orders by the beginning of their id, and by its end if that is known, too."""

    _unit_of_work: UnitOfWork
    _recent: RecentOrders
    _most: int = field(default=_MOST_LOOKED_AT, kw_only=True)

    async def __call__(self, _by: Principal, part: IdPart, *, limit: int) -> FoundByIdPart:
        most = self._most if part.end else limit + 1
        async with self._unit_of_work.reading() as tx:
            looked_at = await tx.orders.ids_between(part.first, part.last, limit=most)
            ids = [id_ for id_ in looked_at if part.is_of(id_)]
            known = await readable_orders(tx, ids[:limit])
        shown = [order for id_ in ids[:limit] if (order := known.get(id_)) is not None and not order.deleted]
        # A client that has seen an order here must not read an older version of it afterwards.
        await self._recent.put_many(shown)
        return FoundByIdPart(shown, more=len(ids) > limit or len(looked_at) == most)


_LOWEST: Final = str(UUID(int=0))
_HIGHEST: Final = str(UUID(int=2**128 - 1))
