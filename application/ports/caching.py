"""Caches: what they hold may be lost at any time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from application.ports.catalogue import StockLevel
from domain.catalogue.product import Product
from domain.ids import JobId, OrderId, ProductId
from domain.orders.events import OrderChangeAccepted
from domain.orders.order import Order


class RecentOrders(Protocol):
    """Orders that were lately written or read. Best effort: it may be empty, slow or gone.

    Only `get_accepted` and `scan` raise.

    An order is only ever replaced by a newer version of itself, and a deleted one is kept as deleted.
    """

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]: ...

    async def put_many(self, orders: Sequence[Order]) -> bool:
        """Return whether older versions of these orders can't be read here any more, by any process."""

    async def put_accepted(self, orders: Sequence[Order]) -> None:
        """Put orders that were accepted and are not in the database yet. They are kept for a day, or until `put_many`.

        If one is lost on its way to the database, it is still known here.
        """

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        """Return those that `put_accepted` has put, also after a failover, which makes all other entries unreadable.

        They come from no database. Ask for orders that the database does not have: others may be outdated here. Raise
        `Unavailable`, because an order must not be called unknown for want of an answer.
        """

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        """Remove every cached copy that is older than the version given. Return what `put_many` returns."""

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:
        """Some of the orders that are here, and the cursor of the next call: 0 begins, and 0 is the end.

        An order may come twice, or in an older version. Raise `Unavailable`, because a check must not pass for want of
        an answer.
        """


class AcceptedChanges(Protocol):
    """Changes of orders that were accepted while the database was away, for a day, or until they are forgotten.

    Best effort: it may be empty, slow or gone. Only `scan` raises. A process always knows what it has put itself.
    """

    async def put_many(self, changes: Sequence[OrderChangeAccepted]) -> None: ...

    async def of_orders(self, ids: Collection[OrderId]) -> dict[OrderId, list[JobId]]:
        """The changes of each order that has any, oldest first."""

    async def get(self, id_: JobId) -> OrderChangeAccepted | None: ...

    async def forget(self, recorded: Mapping[OrderId, Collection[JobId]]) -> None:
        """These are in the database."""

    async def scan(self, cursor: int) -> tuple[int, list[OrderChangeAccepted]]:
        """Some of the changes that are here, and the cursor of the next call, as `RecentOrders.scan`."""


@frozen
class CataloguePage:
    """Which part of the product list, and in which cache epoch. Every change of a name or a price begins a new one.

    With `active`, a page has only products that are for sale, or only those that are not.
    """

    after: ProductId | None
    limit: int
    active: bool | None = True
    epoch: str | None = None


class CatalogueCache(Protocol):
    """Pages of the product list. Best effort: it may be empty, slow or gone, and never raises.

    The stock in them is that of the time when they were read. It changes with every sale, and no epoch ends with it.
    """

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        """The page with the current epoch, and its products if they are cached."""

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        """Cache the products of a page that `get` returned, unless a new epoch has begun since."""

    async def begin_epoch(self) -> bool:
        """The catalogue has changed: invalidate every page. Return whether no process reads one."""


class StockCache(Protocol):
    """How much is left of products that were lately listed. Best effort: it may be empty, slow or gone, never raises.

    A level is only ever replaced by that of a newer version. All of them end together within some seconds. So the stock
    of a process that died between its commit and `put_committed` is outdated here for that long at most.
    """

    async def get_many(self, ids: Collection[ProductId]) -> tuple[str | None, dict[ProductId, StockLevel]]:
        """The current epoch, and the levels that are known in it."""

    async def put_read(self, levels: Mapping[ProductId, StockLevel], *, epoch: str | None) -> None:
        """Put levels that were read after `get_many` returned this epoch, unless the epoch has ended since."""

    async def put_committed(self, levels: Mapping[ProductId, StockLevel]) -> bool:
        """The stock has changed. Return whether no process reads an older level."""


class CacheFence(Protocol):
    """Keeps all processes from reading in the shared caches while one of them can't invalidate there.

    It stands in the database, which a process that has just committed can reach. It never raises.
    """

    async def raise_and_wait(self) -> None:
        """Return when no process reads in the shared caches, until this one can invalidate there again."""

    def is_up(self) -> bool:
        """Return whether this process must not read in the shared caches, as far as `look` has found out."""

    async def look(self) -> None:
        """Find out whether the fence is up, and keep it up if this process has raised it and needs it still."""


class PriceList(Protocol):
    """The products that this process knows, in the versions that it has read last. No product is ever removed.

    So an order for a product found here can be priced without the database, at the price that its customer was shown;
    only the stock is unknown. A product that is missing here may exist.
    """

    def get_many(self, ids: Collection[ProductId]) -> dict[ProductId, Product]: ...

    def learn(self, products: Sequence[Product]) -> None:
        """Products that this process has just changed: newer versions replace older ones."""

    def replace_all(self, products: Sequence[Product]) -> None:
        """Hold these products, the whole catalogue, and no others: a restored database may lack some."""


@frozen
class DatabaseMark:
    """The identity and position that tell a database from others, and from itself before a restore from a backup."""

    identity: str
    # It never falls while the database goes on.
    position: int

    def continues(self, earlier: "DatabaseMark") -> bool:
        """Return whether the database of the earlier mark has gone on to this one. It must have been taken before."""
        return self.identity == earlier.identity and self.position >= earlier.position


class DatabaseMarks(Protocol):
    """The mark of the database that this process uses."""

    async def current(self) -> DatabaseMark | None:
        """None if the database can't tell at the moment. Raise `Unavailable`."""


class CacheOwner(Protocol):
    """The database that the entries of some caches come from. Best effort, as the caches are: it never raises."""

    async def get(self) -> DatabaseMark | None:
        """The last mark. None if it is unknown, or can't be read at the moment."""

    async def change(self, mark: DatabaseMark, *, since: DatabaseMark | None) -> None:
        """Note this mark, and invalidate all entries unless it continues the mark `since`, which `get` returned.

        Nothing happens if there is another mark in the meantime.
        """
