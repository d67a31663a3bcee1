from collections.abc import Collection, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import frozen
from sqlalchemy import BigInteger, FromClause, Row, Select, Update, bindparam, cast, func, select, update

from adapters.codecs.plain import plain
from adapters.sql.core.bulk import BulkStatement, Written, bulk_insert
from adapters.sql.core.counting import count_of
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked, listed, storable
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.catalogue import products, stock_adjustments
from adapters.sql.tables.orders import order_items, orders
from application.execution.after_commit import Committed
from application.ports.broken import BrokenProduct
from application.ports.catalogue import StockCount, StockLevel
from domain.catalogue.product import Product
from domain.ids import MOST_AUTOMATIC, ProductId
from domain.money import Money

_NOTES: Final = msgspec.json.Encoder(enc_hook=plain, order="sorted")
_NOTES_READ: Final = msgspec.json.Decoder(dict[str, str])

# What is written into each column; `_product` reads it.
_WRITTEN: Final[Written[Product]] = {
    "id": attrgetter("id"),
    "name": attrgetter("name"),
    "price": attrgetter("price.minor"),
    "currency": attrgetter("price.currency"),
    "stock": attrgetter("stock"),
    "created_at": attrgetter("created_at"),
    "version": attrgetter("version"),
    "sku": attrgetter("sku"),
    "active": attrgetter("active"),
    "metadata": lambda product: _NOTES.encode(product.metadata).decode() if product.metadata else None,
}


def _product(row: Row[Any]) -> Product:
    return Product(
        id=row.id,
        name=row.name,
        price=Money(row.price, row.currency),
        stock=row.stock,
        created_at=row.created_at,
        version=row.version,
        sku=row.sku,
        active=row.active,
        metadata=_NOTES_READ.decode(row.metadata) if row.metadata else {},
    )


def _read(row: Row[Any]) -> Product | BrokenProduct:
    return listed("product", row.id, _product, row, BrokenProduct)


_ALL: Final = select(*products.c)
_BY_ID: Final = _ALL.where(among(products.c.id, "ids"))
# All transactions lock in this order, so that they can't deadlock. FOR NO KEY UPDATE: inserting an order line takes a
# key-share lock on its product, and FOR UPDATE would block it.
_BY_ID_LOCKED: Final = _BY_ID.order_by(products.c.id).with_for_update(key_share=True)
_STOCK: Final = select(products.c.id, products.c.version, products.c.stock).where(among(products.c.id, "ids"))
_LAST_ID: Final = select(func.max(products.c.id)).where(products.c.id <= MOST_AUTOMATIC)
_INSERT: Final = bulk_insert(products, _WRITTEN)


def _set_stock(new: FromClause, _: SqlDialect) -> Update:
    return update(products).values(stock=new.c.stock, version=new.c.version).where(products.c.id == new.c.id)


_SET_STOCK: Final = BulkStatement(products, {name: _WRITTEN[name] for name in ("id", "stock", "version")}, _set_stock)


# What an edit does not change.
_AGREED: Final = {"id", "stock", "created_at"}


def _set_all(new: FromClause, _: SqlDialect) -> Update:
    values = {name: new.c[name] for name in _WRITTEN if name not in _AGREED}
    return update(products).values(values).where(products.c.id == new.c.id)


_EDIT: Final = BulkStatement(
    products, {name: get for name, get in _WRITTEN.items() if name == "id" or name not in _AGREED}, _set_all
)
_BY_SKU: Final = select(products.c.sku, products.c.id).where(among(products.c.sku, "skus"))

# The first of each name is the one that is wanted.
_BY_NAME: Final = _ALL.where(among(products.c.name, "names")).order_by(products.c.active.desc(), products.c.id)


def _page(*, after: bool, by_active: bool) -> Select[Any]:
    page = _ALL.order_by(products.c.id).limit(bindparam("limit"))
    if by_active:
        page = page.where(products.c.active == bindparam("active"))
    return page.where(products.c.id > bindparam("after")) if after else page


_PAGES: Final = {
    (after, by_active): _page(after=after, by_active=by_active)
    for after in (False, True)
    for by_active in (False, True)
}


@cache
def _count(most: int, *, by_active: bool) -> Select[Any]:
    found = select(products.c.id)
    return count_of(found.where(products.c.active == bindparam("active")) if by_active else found, most)


# One statement, so that everything is of one moment, however fast orders come and go meanwhile.
def _counts() -> Select[Any]:
    page = select(products.c.id, products.c.stock).where(products.c.id > bindparam("after"))
    page_ = page.order_by(products.c.id).limit(bindparam("limit")).cte("page")
    held = (
        select(order_items.c.product_id, func.sum(order_items.c.quantity).label("units"))
        .join(orders, orders.c.id == order_items.c.order_id)
        .where(orders.c.holds_stock, order_items.c.product_id.in_(select(page_.c.id)))
        .group_by(order_items.c.product_id)
        .subquery("held")
    )
    counted = (
        select(stock_adjustments.c.product_id, func.sum(stock_adjustments.c.change).label("units"))
        .where(stock_adjustments.c.product_id.in_(select(page_.c.id)))
        .group_by(stock_adjustments.c.product_id)
        .subquery("counted")
    )
    # PostgreSQL sums 64-bit integers into a numeric.
    sums = [cast(func.coalesce(table.c.units, 0), BigInteger) for table in (held, counted)]
    return (
        select(page_.c.id, page_.c.stock, sums[0].label("held"), sums[1].label("counted_in"))
        .outerjoin(held, held.c.product_id == page_.c.id)
        .outerjoin(counted, counted.c.product_id == page_.c.id)
        .order_by(page_.c.id)
    )


_COUNTS: Final = _counts()


@frozen
class SqlProducts:
    _block: TransactionBlock
    _committed: Committed

    async def add_many(self, products: Sequence[Product]) -> None:
        await self._block.change_many(_INSERT, products)
        self._committed.catalogue |= bool(products)

    async def get_many(self, ids: Collection[ProductId], *, lock: bool = False) -> dict[ProductId, Product]:
        if not ids:
            return {}
        statement = _BY_ID_LOCKED if lock else _BY_ID
        rows = await self._block.fetch(statement, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("product", row.id, _product, row) for row in rows}

    async def save_many(self, products: Sequence[Product]) -> None:
        await self._block.change_many(_SET_STOCK, products)
        self._committed.stock |= {product.id: StockLevel(product.version, product.stock) for product in products}

    async def edit_many(self, products: Sequence[Product]) -> None:
        await self._block.change_many(_EDIT, products)
        self._committed.catalogue |= bool(products)

    async def by_sku(self, skus: Collection[str]) -> dict[str, ProductId]:
        if not (wanted := storable(skus)):
            return {}
        return {row.sku: row.id for row in await self._block.fetch(_BY_SKU, {"skus": wanted})}

    async def by_name(self, names: Collection[str]) -> dict[str, Product]:
        if not (wanted := storable(names)):
            return {}
        rows = await self._block.fetch(_BY_NAME, {"names": wanted})
        return {row.name: checked("product", row.id, _product, row) for row in reversed(rows)}

    async def page(
        self, *, after: ProductId | None, limit: int, active: bool | None = None
    ) -> list[Product | BrokenProduct]:
        given = {"limit": limit, "after": after, "active": active}
        rows = await self._block.fetch(
            _PAGES[after is not None, active is not None],
            {name: value for name, value in given.items() if value is not None},
        )
        return [_read(row) for row in rows]

    async def count(self, *, active: bool | None = None, most: int) -> int:
        given = {} if active is None else {"active": active}
        [row] = await self._block.fetch(_count(most, by_active=active is not None), given)
        return int(row[0])

    async def stock_of(self, ids: Collection[ProductId]) -> dict[ProductId, StockLevel]:
        if not ids:
            return {}
        rows = await self._block.fetch(_STOCK, {"ids": list(ids)})
        return {row.id: StockLevel(row.version, row.stock) for row in rows}

    async def last_id(self) -> ProductId:
        [row] = await self._block.fetch(_LAST_ID)
        return ProductId(row[0] or 0)

    async def stock_counts(self, *, after: ProductId | None, limit: int) -> list[StockCount]:
        rows = await self._block.fetch(_COUNTS, {"after": after or 0, "limit": limit})
        return [StockCount(row.id, row.stock, row.held, row.counted_in) for row in rows]
