from attrs import field, frozen

from application.ports.broken import sound
from application.ports.caching import PriceList
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import ProductId


@frozen
class RefreshPrices:
    """Read the whole catalogue into the price list. Raise `Unavailable`; the prices read before then stay."""

    _unit_of_work: UnitOfWork
    _prices: PriceList
    _page: int = field(default=500, kw_only=True)

    async def __call__(self) -> None:
        last: ProductId | None = None
        catalogue: list[Product] = []
        while True:
            async with self._unit_of_work.reading() as tx:
                products = await tx.products.page(after=last, limit=self._page)
            catalogue += sound(products)
            if len(products) < self._page:
                break
            last = products[-1].id
        self._prices.replace_all(catalogue)
