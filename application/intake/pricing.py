"""The lines of an order, at the prices of the products as they are."""

from collections.abc import Mapping, Sequence

from application.intake.order_request import RequestedItem, units
from domain.catalogue.product import Product
from domain.errors import (
    DomainError,
    NotForSale,
    PriceChanged,
    UnknownProduct,
)
from domain.ids import ProductId
from domain.money import Money
from domain.orders.line import OrderLine


def price_items(items: Sequence[RequestedItem], products: Mapping[ProductId, Product]) -> tuple[OrderLine, ...]:
    """Return one line for each product, with its quantities added up.

    Raise `UnknownProduct`, `NotForSale`, `PriceChanged`.
    """
    lines = []
    for product_id, quantity in units(items):
        product = products.get(product_id)
        if product is None or not product.active:
            raise _refusal(items, products)
        lines.append(OrderLine(product_id=product_id, quantity=quantity, unit_price=product.price))
    for item in items:
        # Most items come without a price.
        if item.unit_price is not None and not item.was_shown(products[item.product_id].price):
            raise _refusal(items, products)
    return tuple(lines)


def _refusal(items: Sequence[RequestedItem], products: Mapping[ProductId, Product]) -> DomainError:
    """Return the error that names every item that can't be ordered."""
    errors: list[DomainError] = []
    for index, item in enumerate(items):
        field, product = f"items[{index}].product_id", products.get(item.product_id)
        if product is None:
            errors.append(UnknownProduct(f"there is no product {item.product_id}", field=field))
        elif not product.active:
            errors.append(NotForSale(f"product {item.product_id} is not for sale", field=field))
        elif not item.was_shown(product.price):
            errors.append(_price_changed(index, item, product.price))
    first, *others = errors
    return type(first)(str(first), field=first.field, others=others)


def _price_changed(index: int, item: RequestedItem, now: Money) -> PriceChanged:
    was = item.unit_price
    shown = f"{was.minor} {was.currency}" if isinstance(was, Money) else f"{was} {now.currency}"
    told = f"product {item.product_id} costs {now.minor} {now.currency} now, and {shown} was shown"
    return PriceChanged(f"{told} (in minor units)", field=f"items[{index}].unit_price")
