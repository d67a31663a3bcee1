"""The stock as the person on duty sees it."""

import pytest

from application.access.principal import SYSTEM
from application.catalogue.adjust_stock import StockCall
from domain.errors import UnknownProduct
from domain.ids import ProductId
from tests.unit.shop import Shop


async def test_what_was_counted_in_is_on_hand_or_with_orders(shop: Shop) -> None:
    pen, ink = await shop.sells(stock=5), await shop.sells(stock=0)
    await shop.paid((pen, 2))
    await shop.use_cases.adjust_stock(SYSTEM, [StockCall(product_id=pen.id, delta=-1, reason="broken")])
    listed = await shop.use_cases.list_stock(SYSTEM, limit=9)
    numbers = {each.product.id: (each.product.stock, each.with_orders, each.counted_in) for each in listed}
    assert numbers == {pen.id: (2, 2, 4), ink.id: (0, 0, 0)}
    assert await shop.use_cases.see_stock(SYSTEM, pen.id) == listed[0]
    assert [each.product.id for each in await shop.use_cases.list_stock(SYSTEM, after=pen.id, limit=9)] == [ink.id]
    with pytest.raises(UnknownProduct):
        await shop.use_cases.see_stock(SYSTEM, ProductId(99))
