import pytest
from attrs import evolve
from attrs.exceptions import FrozenAttributeError
from hypothesis import example, given
from hypothesis import strategies as st

from domain.catalogue.product import MAX_STOCK
from domain.errors import OutOfStock
from domain.ids import MAX_ID, ProductId
from tests.unit.builders import a_product

units = st.integers(0, 10**6)


@given(units, units)
@example(5, 5)
@example(5, 6)
def test_taking_either_takes_all_that_was_asked_for_or_nothing(stock: int, quantity: int) -> None:
    product = a_product(stock=stock)
    if quantity <= stock:
        product.take(quantity)
        assert product.stock == stock - quantity
    else:
        with pytest.raises(OutOfStock, match=f"{stock} units left, {quantity} were asked for"):
            product.take(quantity)
        assert product.stock == stock


@given(units, units)
def test_what_was_taken_and_given_back_is_there_again(stock: int, more: int) -> None:
    product = a_product(stock=stock + more)
    product.take(more)
    product.give_back(more)
    assert product.stock == stock + more


@given(units, st.integers(-(10**6), 10**6))
def test_an_adjustment_never_leaves_fewer_than_none(stock: int, change: int) -> None:
    product = a_product(stock=stock)
    if stock + change >= 0:
        product.adjust(change)
        assert product.stock == stock + change
    else:
        with pytest.raises(OutOfStock):
            product.adjust(change)
        assert product.stock == stock


@pytest.mark.parametrize("stock", [-1, MAX_STOCK + 1])
def test_a_stock_out_of_bounds_is_found_when_it_is_loaded(stock: int) -> None:
    with pytest.raises(ValueError, match="stock"):
        a_product(stock=stock)


@pytest.mark.parametrize("number", [-1, 0, MAX_ID + 1])
def test_an_id_that_no_database_keeps_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="id is between 1 and"):
        a_product(number)


def test_a_product_has_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        evolve(a_product(), name="")


def test_a_product_keeps_its_identity() -> None:
    with pytest.raises(FrozenAttributeError):
        a_product().id = ProductId(2)
