"""Demo products, so that a new shop can be tried out."""

from typing import Final

from application.catalogue.add_products import NewProduct
from domain.ids import ProductId
from domain.money import Money

CATALOGUE: Final = (
    NewProduct(id=ProductId(1), name="Fountain pen", price=Money(12_50, "EUR"), stock=1_000_000),
    NewProduct(id=ProductId(2), name="Ink, midnight blue, 50 ml", price=Money(8_90, "EUR"), stock=1_000_000),
    NewProduct(id=ProductId(3), name="Notebook, dotted, A5", price=Money(14_00, "EUR"), stock=1_000_000),
    NewProduct(id=ProductId(4), name="Letter opener, brass", price=Money(21_00, "EUR"), stock=250),
    NewProduct(id=ProductId(5), name="Signed first edition", price=Money(95_00, "EUR"), stock=50),
    NewProduct(id=ProductId(6), name="Brush pen, from Nara", price=Money(2_400, "JPY"), stock=500),
)
