"""What `PriceList` promises."""

from attrs import evolve

from adapters.memory.price_list import MemoryPriceList
from application.intake.refresh_prices import RefreshPrices
from domain.ids import ProductId
from tests.unit.builders import a_product
from tests.unit.shop import Shop


def test_what_was_put_is_found_and_the_unknown_is_missing() -> None:
    prices = MemoryPriceList()
    prices.replace_all([a_product(1), a_product(2)])
    assert prices.get_many({ProductId(2), ProductId(3)}) == {2: a_product(2)}


def test_it_holds_products_of_its_own() -> None:
    prices, product = MemoryPriceList(), a_product(1, stock=5)
    prices.replace_all([product])
    product.take(1)
    prices.get_many([product.id])[product.id].take(2)
    assert prices.get_many([product.id])[product.id].stock == 5


def test_what_is_not_in_the_catalogue_any_more_is_forgotten() -> None:
    prices = MemoryPriceList()
    prices.replace_all([a_product(1), a_product(2)])
    prices.replace_all([a_product(2), a_product(3)])
    assert prices.get_many({ProductId(1), ProductId(2), ProductId(3)}).keys() == {2, 3}


def test_a_newer_version_replaces_an_older_one_and_no_other() -> None:
    prices = MemoryPriceList()
    prices.replace_all([evolve(a_product(1, price=2), version=5)])
    prices.learn([evolve(a_product(1, price=3), version=6), a_product(2)])
    prices.learn([evolve(a_product(1, price=1), version=4)])
    # What it does not know it learns with the whole catalogue.
    assert {id_: product.price.minor for id_, product in prices.get_many({ProductId(1), ProductId(2)}).items()} == {
        1: 3
    }


async def test_the_whole_catalogue_gets_into_it() -> None:
    shop, prices = Shop(), MemoryPriceList()
    ids = {(await shop.sells()).id for _ in range(7)}
    for page in (1, 3, 7, 500):
        prices = MemoryPriceList()
        await RefreshPrices(shop.unit_of_work, prices, page=page)()
        assert prices.get_many(ids).keys() == ids
