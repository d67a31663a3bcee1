import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import CurrencyMismatch, InvalidAmount
from domain.money import MAX_MINOR, Money
from tests.unit.builders import euros

amounts = st.integers(min_value=0, max_value=MAX_MINOR // 4)


@given(amounts, amounts, amounts)
def test_sums_are_exact_in_any_order(one: int, two: int, three: int) -> None:
    assert euros(one) + euros(two) == euros(one + two)
    assert (euros(one) + euros(two)) + euros(three) == euros(one) + (euros(two) + euros(three))


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_a_price_times_a_quantity_is_the_price_added_up(minor: int, quantity: int) -> None:
    assert (euros(minor) * quantity).minor == minor * quantity
    assert euros(minor) * (quantity + 1) == euros(minor) * quantity + euros(minor)


def test_sums_of_two_currencies_are_never_added() -> None:
    with pytest.raises(CurrencyMismatch, match="EUR and JPY"):
        euros(1) + Money(1, "JPY")


@pytest.mark.parametrize("minor", [-1, MAX_MINOR + 1])
def test_an_amount_below_zero_or_too_large_to_be_exact_is_refused(minor: int) -> None:
    with pytest.raises(InvalidAmount):
        euros(minor)


@given(st.integers(MAX_MINOR // 2 + 1, MAX_MINOR))
def test_a_sum_that_grows_beyond_the_bound_is_refused(minor: int) -> None:
    with pytest.raises(InvalidAmount):
        euros(minor) + euros(minor)
    with pytest.raises(InvalidAmount):
        euros(minor) * 2


@pytest.mark.parametrize("currency", ["", "EU", "EURO", "eur", "E1R", "EUR\n"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValueError, match="currency"):
        Money(1, currency)
