"""Everything that the rules of the shop refuse."""

from typing import ClassVar


class DomainError(Exception):
    """A request that the rules refuse; trying it again changes nothing.

    `field` names the part of the request that is wrong, as in `items[1].quantity`, where it is one part.
    """

    code: ClassVar[str] = "refused"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidAmount(DomainError):
    """A sum of money that is negative, or too large to be counted exactly."""

    code = "invalid_amount"


class CurrencyMismatch(DomainError):
    """Sums of two currencies were to become one."""

    code = "currency_mismatch"


class InvalidOrder(DomainError):
    """An order that can't be: no lines, a product twice, a quantity out of bounds."""

    code = "invalid_order"


class IllegalTransition(DomainError):
    """An order or a payment can't go from the state that it is in to the one asked for."""

    code = "illegal_transition"


class OutOfStock(DomainError):
    """Fewer units are left than were asked for."""

    code = "out_of_stock"


class UnknownProduct(DomainError):
    """There is no such product."""

    code = "unknown_product"


class InvalidProduct(DomainError):
    """A product, or a change of its stock, that can't be."""

    code = "invalid_product"


class ProductExists(DomainError):
    """The id is another product's."""

    code = "product_exists"


class UnknownOrder(DomainError):
    """There is no such order, or it has been deleted."""

    code = "unknown_order"


class OrderDeleted(UnknownOrder):
    """There was such an order. To whoever asks there is none."""
