from collections.abc import Collection, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Row, Select, Update, bindparam, func, insert, select, update

from adapters.after_commit import Committed
from adapters.sql.batches import Batch, among
from adapters.sql.block import Block
from adapters.sql.reading import checked
from adapters.sql.tables import products
from domain.ids import ProductId
from domain.money import Money
from domain.product import Product

_COLUMNS: Final = tuple(products.c)
_ALL: Final = select(*_COLUMNS)
_BY_ID: Final = _ALL.where(among(products.c.id, "ids"))
# Everybody locks in this order, so that nobody waits in a circle. To place an order is to point at products from its
# lines, which a mere FOR UPDATE would keep waiting.
_BY_ID_LOCKED: Final = _BY_ID.order_by(products.c.id).with_for_update(key_share=True)
_LAST_ID: Final = select(func.max(products.c.id))
_INSERT: Final = Batch(_COLUMNS, lambda new: insert(products).from_select([c.name for c in _COLUMNS], select(new)))


def _set_stock(new: FromClause) -> Update:
    return update(products).values(stock=new.c.stock).where(products.c.id == new.c.id)


_SET_STOCK: Final = Batch((products.c.id, products.c.stock), _set_stock)


def _page(*, after: bool) -> Select[Any]:
    page = _ALL.order_by(products.c.id).limit(bindparam("limit"))
    return page.where(products.c.id > bindparam("after")) if after else page


_FIRST_PAGE: Final = _page(after=False)
_NEXT_PAGE: Final = _page(after=True)


@frozen
class SqlProducts:
    _block: Block
    _committed: Committed

    async def add_many(self, products: Sequence[Product]) -> None:
        rows = [(p.id, p.name, p.price.minor, p.price.currency, p.stock, p.created_at) for p in products]
        await self._block.change_many(_INSERT, rows)
        self._committed.catalogue |= bool(products)

    async def get_many(self, ids: Collection[ProductId], *, lock: bool = False) -> dict[ProductId, Product]:
        if not ids:
            return {}
        statement = _BY_ID_LOCKED if lock else _BY_ID
        rows = await self._block.fetch(statement, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("product", row.id, _product, row) for row in rows}

    async def save_many(self, products: Sequence[Product]) -> None:
        await self._block.change_many(_SET_STOCK, [(product.id, product.stock) for product in products])
        self._committed.catalogue |= bool(products)

    async def page(self, *, after: ProductId | None, limit: int) -> list[Product]:
        if after is None:
            rows = await self._block.fetch(_FIRST_PAGE, {"limit": limit})
        else:
            rows = await self._block.fetch(_NEXT_PAGE, {"limit": limit, "after": after})
        return [checked("product", row.id, _product, row) for row in rows]

    async def last_id(self) -> ProductId:
        [row] = await self._block.fetch(_LAST_ID)
        return ProductId(row[0] or 0)


def _product(row: Row[Any]) -> Product:
    return Product(
        id=row.id,
        name=row.name,
        price=Money(row.price, row.currency),
        stock=row.stock,
        created_at=row.created_at,
    )
