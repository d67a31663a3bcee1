"""Products whose rows break a rule of the domain, as after a change by hand in the database."""

from collections.abc import Iterable
from typing import TypeVar

from application.errors import BrokenRow
from domain.ids import ProductId

T = TypeVar("T")


class BrokenProduct(BrokenRow):
    """One such product. In a list it stands in the place of the product. The message says which rule is broken."""

    def __init__(self, id_: ProductId, message: str) -> None:
        super().__init__(message)
        self.id = id_


def sound_products(found: "Iterable[T | BrokenProduct]") -> list[T]:
    return [each for each in found if not isinstance(each, BrokenProduct)]


def broken_products(found: Iterable[object]) -> list[BrokenProduct]:
    return [each for each in found if isinstance(each, BrokenProduct)]
