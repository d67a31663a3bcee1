"""The JSON of products and of the adjustments of their stock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from application.catalogue.add_products import NewProduct
from application.catalogue.adjust_stock import expect_reason
from domain.catalogue.product import (
    KEEP,
    MAX_COUNT,
    MAX_SKU,
    MAX_STOCK,
    MAX_TEXT,
    Product,
    ProductEdit,
    StockAdjustment,
    expect_name,
    expect_sku,
)
from domain.ids import MAX_EXACT, ProductId
from domain.metadata import with_changes
from domain.money import MAX_MINOR, Money
from entrypoints.currencies import PRICED_IN, UNKNOWN
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.field_errors import Rule
from entrypoints.http.refusals import InvalidRequest, in_body


def known_currency(currency: str) -> str:
    """Return the code of a currency. Raise `InvalidRequest`."""
    if currency not in PRICED_IN:
        raise InvalidRequest(in_body("currency", f"it is {UNKNOWN}", "not_one_of"))
    return currency


def _expect_metadata(changes: Mapping[str, str | None]) -> None:
    with_changes({}, changes)


_Name = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT), Rule(expect_name)]
_Price = Annotated[int, Meta(ge=0, le=MAX_MINOR)]
_Currency = Annotated[str, Rule(known_currency)]
_Sku = Annotated[str, Meta(min_length=1, max_length=MAX_SKU), Rule(expect_sku)]


class NewProductBody(LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Larger ones, which JavaScript rounds, may be stored since an earlier release.
    id: Annotated[int, Meta(ge=1, le=MAX_EXACT)] | None = None
    name: _Name
    price: _Price
    currency: _Currency
    stock: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 0
    sku: _Sku | None = None
    active: bool = True
    metadata: Annotated[dict[str, str], Rule(_expect_metadata)] = field(default_factory=dict)

    def to_new(self) -> NewProduct:
        """Raise `InvalidRequest`."""
        return NewProduct(
            id=None if self.id is None else ProductId(self.id),
            name=self.name,
            price=Money(self.price, known_currency(self.currency)),
            stock=self.stock,
            sku=self.sku,
            active=self.active,
            metadata=self.metadata,
        )


class ChangeProductBody(LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. A member of the metadata that is null is removed."""

    name: _Name | UnsetType = UNSET
    price: _Price | UnsetType = UNSET
    currency: _Currency | UnsetType = UNSET
    sku: _Sku | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    metadata: Annotated[dict[str, str | None], Rule(_expect_metadata)] = field(default_factory=dict)

    def to_edit(self) -> ProductEdit:
        """Raise `InvalidRequest`."""
        return ProductEdit(
            name=KEEP if self.name is UNSET else self.name,
            price=KEEP if self.price is UNSET else self.price,
            currency=KEEP if self.currency is UNSET else known_currency(self.currency),
            sku=KEEP if self.sku is UNSET else self.sku,
            active=KEEP if self.active is UNSET else self.active,
            metadata=self.metadata,
        )


class ProductBody(Struct, frozen=True):
    id: int
    name: str
    price: int
    currency: str
    stock: int
    created_at: datetime
    sku: str | None
    active: bool
    metadata: Mapping[str, str]
    version: int

    @classmethod
    def of(cls, product: Product) -> "ProductBody":
        price = product.price
        return cls(
            product.id,
            product.name,
            price.minor,
            price.currency,
            product.stock,
            product.created_at,
            product.sku,
            product.active,
            product.metadata,
            product.version,
        )


class ProductsBody(Struct, frozen=True):
    items: list[ProductBody]
    next: str | None
    # Up to 10,000, where `count` asked for it.
    count: int | UnsetType = UNSET


class AdjustStockBody(LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    delta: Annotated[int, Meta(ge=-MAX_COUNT, le=MAX_COUNT)]
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT), Rule(expect_reason)]
    expected: Annotated[int, Meta(ge=0, le=MAX_STOCK)] | None = None


class AdjustmentBody(Struct, frozen=True):
    delta: int
    reason: str
    made_by: str
    at: datetime

    @classmethod
    def of(cls, made: StockAdjustment) -> "AdjustmentBody":
        return cls(made.change, made.reason, made.made_by, made.at)


class AdjustmentsBody(Struct, frozen=True):
    items: list[AdjustmentBody]
    next: str | None
