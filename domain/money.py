from typing import Final

from attrs import field, frozen
from attrs.validators import matches_re

from domain.errors import CurrencyMismatch, InvalidAmount

# The largest integer that every reader of JSON keeps exact (RFC 8259, section 6).
MAX_MINOR: Final = 2**53 - 1


@frozen
class Money:
    """An amount in one currency, in minor units (ISO 4217: cents, yen, fils), so that arithmetic is exact.

    Raise `InvalidAmount` below zero and above `MAX_MINOR`.
    """

    minor: int = field()
    currency: str = field(validator=matches_re("[A-Z]{3}"))

    @minor.validator
    def _is_countable(self, _: object, minor: int) -> None:
        if not 0 <= minor <= MAX_MINOR:
            raise InvalidAmount(f"an amount is between 0 and {MAX_MINOR} minor units")

    def __add__(self, other: "Money") -> "Money":
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} can't be added")
        return Money(self.minor + other.minor, self.currency)

    def __mul__(self, quantity: int) -> "Money":
        return Money(self.minor * quantity, self.currency)
