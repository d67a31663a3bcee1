"""The rows of an export, page by page: what has been read is a place, from which another process can go on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from attrs import field, frozen

from application.exports.request import ExportRequest
from application.feed.read_feed import ReadFeed
from application.ports.broken import BrokenOrder, BrokenProduct, broken, sound
from application.ports.feed import Position
from application.ports.order_search import OrderFilter
from application.ports.persistence import UnitOfWork
from application.ports.rows import Row
from domain.ids import OrderId, ProductId

_ROWS: Final = 250
_ALL_ORDERS: Final = OrderFilter()

# Where to go on, in JSON. None stands for the end.
Place = Mapping[str, Any] | None
BEGINNING: Final[Place] = {}


@frozen
class Page:
    rows: Sequence[Row]
    following: Place
    # Orders or products that are left out, since their rows are broken.
    broken: int = 0


@frozen
class ReadExportPages:
    """Read what an export is of, as it is by then. No order that was there at the beginning is missed or read twice.

    A place is an order, a product or a position: none of them moves, whatever changes meanwhile.
    """

    _unit_of_work: UnitOfWork
    _read_feed: ReadFeed
    _rows: int = field(default=_ROWS, kw_only=True)

    async def newest(self) -> Position:
        """The position that an export is as of which begins now. Whatever it stands for is in the rows."""
        return (await self._read_feed.bounds()).newest

    async def __call__(self, wanted: ExportRequest, place: Mapping[str, Any], *, until: Position) -> Page:
        """Events are read up to a position. Raise `PositionNotKept` if they were pruned meanwhile."""
        after = place.get("after")
        match wanted.what:
            case "orders":
                return await self._orders(wanted.orders, None if after is None else OrderId(UUID(after)))
            case "products":
                return await self._products(wanted.active, None if after is None else ProductId(after))
            case "events":
                return await self._events(wanted, None if after is None else Position(after), until)

    async def _orders(self, only: OrderFilter, before: OrderId | None) -> Page:
        async with self._unit_of_work.reading() as tx:
            if only != _ALL_ORDERS:
                found = await tx.orders.search(only, before=before, limit=self._rows)
                orders, looked_to = found.orders, found.looked_to
            else:
                # Without a filter, there is nothing to be looked through.
                orders = await tx.orders.page(user_id=None, status=None, before=before, limit=self._rows)
                looked_to = None
        last = orders[-1].id if len(orders) == self._rows else looked_to
        return Page(sound(orders), None if last is None else {"after": str(last)}, len(broken(orders, BrokenOrder)))

    async def _products(self, active: bool | None, after: ProductId | None) -> Page:  # noqa: FBT001 - as the filter has it
        async with self._unit_of_work.reading() as tx:
            products = await tx.products.page(after=after, limit=self._rows, active=active)
        following = {"after": products[-1].id} if len(products) == self._rows else None
        return Page(sound(products), following, len(broken(products, BrokenProduct)))

    async def _events(self, wanted: ExportRequest, after: Position | None, until: Position) -> Page:
        found = await self._read_feed.page(after=after, only=wanted.events, limit=self._rows)
        events = [item for item in found.items if item.position <= until]
        return Page(events, {"after": found.next} if found.next < until else None)
