"""The repositories of products, their prices and their stock."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from application.ports.broken import BrokenProduct
from domain.catalogue.product import Product, StockAdjustment
from domain.ids import ProductId
from domain.money import Money


@frozen
class StockCount:
    """The units of one product that are left, that orders hold, and that were counted in."""

    product_id: ProductId
    left: int
    held: int
    counted_in: int


@frozen
class StockLevel:
    """The units of a product that are left, and the version of the product that says so."""

    version: int
    units: int


class Products(Protocol):
    """What the shop sells, and how much of it is left."""

    async def add_many(self, products: Sequence[Product]) -> None:
        """Raise `Aborted` when one of the ids is taken."""

    async def get_many(self, ids: Collection[ProductId], *, lock: bool = False) -> dict[ProductId, Product]:
        """The products that exist. With `lock`, locked in the order of their ids until the transaction ends."""

    async def save_many(self, products: Sequence[Product]) -> None:
        """Save the stock of products that this transaction has locked."""

    async def edit_many(self, products: Sequence[Product]) -> None:
        """Save all of products that this transaction has locked. Raise `Aborted` when one of the SKUs is taken."""

    async def by_sku(self, skus: Collection[str]) -> dict[str, ProductId]:
        """The products that have these SKUs."""

    async def by_name(self, names: Collection[str]) -> dict[str, Product]:
        """The products that have these names. Of several, the first that is for sale, or else the first."""

    async def page(
        self, *, after: ProductId | None, limit: int, active: bool | None = None
    ) -> list[Product | BrokenProduct]:
        """In the order of their ids; with `active` only those that are for sale, or those that are not."""

    async def count(self, *, active: bool | None = None, most: int) -> int:
        """How many products `page` would find, up to `most`."""

    async def stock_of(self, ids: Collection[ProductId]) -> dict[ProductId, StockLevel]:
        """The stock of the products that exist."""

    async def last_id(self) -> ProductId:
        """The largest id in use up to `MOST_AUTOMATIC`, 0 when there is none."""

    async def stock_counts(self, *, after: ProductId | None, limit: int) -> list[StockCount]:
        """In the order of their ids, all read at one moment."""


@frozen
class EarlierPrice:
    """A price that a product had until then."""

    product_id: ProductId
    price: Money
    until: datetime


class EarlierPrices(Protocol):
    """The prices that products had before."""

    async def add_many(self, prices: Sequence[EarlierPrice]) -> None:
        """Keep the prices of products that this transaction has locked. One that is kept already stays as it is."""

    async def of_products(self, ids: Collection[ProductId]) -> list[EarlierPrice]:
        """In no order."""


@frozen
class RecordedAdjustment:
    """An adjustment, with its place among all: later ones have a larger number."""

    number: int
    adjustment: StockAdjustment


class StockAdjustments(Protocol):
    """Every change of stock that no order made."""

    async def add_many(self, adjustments: Sequence[StockAdjustment]) -> None: ...

    async def totals(self, ids: Collection[ProductId]) -> dict[ProductId, int]:
        """The sum of each product's adjustments; 0 where there is none."""

    async def page(self, product_id: ProductId, *, before: int | None, limit: int) -> list[RecordedAdjustment]:
        """Those of one product, the newest first, with numbers below `before`."""
