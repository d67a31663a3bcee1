"""The refusals of the shop's rules."""

from collections.abc import Sequence
from typing import ClassVar

from domain.ids import ProductId


def pointer_of(path: str) -> str:
    """Return the JSON pointer (RFC 6901) of a field such as `items[0].quantity`."""
    return "".join(f"/{part}" for part in path.replace("[", ".").replace("]", "").split(".") if part)


class DomainError(Exception):
    """A request that the rules refuse. A retry changes nothing.

    `field` names the part of the request that is wrong, as in `items[1].quantity`, if it is one part. `others` are the
    errors of the other parts that are wrong.
    """

    code: ClassVar[str] = "refused"

    def __init__(self, message: str, *, field: str | None = None, others: "Sequence[DomainError]" = ()) -> None:
        super().__init__(message)
        self.field = field
        self.others = tuple(others)


class InvalidAmount(DomainError):
    """An amount of money that is negative, or too large to be exact in JSON."""

    code = "invalid_amount"


class CurrencyMismatch(DomainError):
    """Amounts in different currencies can't be added."""

    code = "currency_mismatch"


class InvalidOrder(DomainError):
    """An order without lines, with a product twice, with a quantity out of bounds, ..."""

    code = "invalid_order"


class ExternalIdTaken(DomainError):
    """Another order of this customer has the external id."""

    code = "external_id_taken"


class IllegalTransition(DomainError):
    """An order, a payment or a dead letter can't go from its current state to the requested one."""

    code = "illegal_transition"


class OutOfStock(DomainError):
    """Fewer units of these products are left than were asked for."""

    code = "out_of_stock"

    def __init__(self, message: str, *, products: Sequence[ProductId] = (), field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.products = tuple(products)


class UnknownProduct(DomainError):
    """There is no such product."""

    code = "unknown_product"


class InvalidProduct(DomainError):
    """A product, or a change of its stock, that breaks a rule."""

    code = "invalid_product"


class ProductExists(DomainError):
    """Another product has the id."""

    code = "product_exists"


class SkuTaken(DomainError):
    """Another product has the SKU."""

    code = "sku_taken"


class NotForSale(DomainError):
    """The product is not for sale now."""

    code = "not_for_sale"


class PriceChanged(DomainError):
    """A product has another price than its customer was shown."""

    code = "price_changed"


class CartEmpty(DomainError):
    """There is nothing in the cart."""

    code = "cart_empty"


class InvalidCart(DomainError):
    """A cart with too many products, or a quantity out of bounds."""

    code = "invalid_cart"


class StockDiffers(DomainError):
    """The stock is another one than the caller expected."""

    code = "stock_differs"


class InvalidMetadata(DomainError):
    """Metadata above a limit."""

    code = "invalid_metadata"


class UnknownOrder(DomainError):
    """There is no such order, or it has been deleted."""

    code = "unknown_order"


class OrderDeleted(UnknownOrder):
    """The order was deleted. Clients get the same answer as for an unknown order."""
