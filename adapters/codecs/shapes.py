"""The shapes of what is stored and sent, apart from the domain's classes: they decide which bytes are written.

Every later release has to read them. So a field here keeps its name and its meaning for good, and a new field has a
default. A field of the domain may be renamed: then only `of` and `restored` change. The order of the fields is that of
the bytes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from attrs import asdict
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict as members_of

from domain.catalogue.product import Product
from domain.ids import OrderId, PaymentId, ProductId, customer_id
from domain.money import Money
from domain.orders.details import Address, OrderDetails
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus


class MoneyShape(Struct):
    currency: str
    minor: int

    @classmethod
    def of(cls, money: Money) -> Self:
        return cls(money.currency, money.minor)

    def restored(self) -> Money:
        return Money(self.minor, self.currency)


class LineShape(Struct):
    product_id: int
    quantity: int
    unit_price: MoneyShape

    @classmethod
    def of(cls, line: OrderLine) -> Self:
        return cls(line.product_id, line.quantity, MoneyShape.of(line.unit_price))

    def restored(self) -> OrderLine:
        return OrderLine(
            product_id=ProductId(self.product_id), quantity=self.quantity, unit_price=self.unit_price.restored()
        )


class AddressShape(Struct, kw_only=True, omit_defaults=True):
    city: str | None = None
    company: str | None = None
    country: str | None = None
    line1: str | None = None
    line2: str | None = None
    name: str | None = None
    phone: str | None = None
    postal_code: str | None = None
    region: str | None = None

    @classmethod
    def of(cls, address: Address) -> Self:
        return cls(**asdict(address))

    def restored(self) -> Address:
        return Address(**members_of(self))


class DetailsShape(Struct, kw_only=True, omit_defaults=True):
    billing_address: AddressShape | None = None
    email: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] = {}
    note: str | None = None
    payment_method: str | None = None
    shipping_address: AddressShape | None = None

    @classmethod
    def of(cls, details: OrderDetails) -> Self:
        billing, shipping = details.billing_address, details.shipping_address
        return cls(
            billing_address=None if billing is None else AddressShape.of(billing),
            email=details.email,
            external_id=details.external_id,
            metadata=details.metadata,
            note=details.note,
            payment_method=details.payment_method,
            shipping_address=None if shipping is None else AddressShape.of(shipping),
        )

    @classmethod
    def of_any(cls, details: OrderDetails | None) -> "Self | UnsetType":
        """Return what is written of them: nothing if there are none, as before there were details."""
        return UNSET if details is None else cls.of(details)

    def restored(self) -> OrderDetails:
        billing, shipping = self.billing_address, self.shipping_address
        return OrderDetails(
            billing_address=None if billing is None else billing.restored(),
            email=self.email,
            external_id=self.external_id,
            metadata=self.metadata,
            note=self.note,
            payment_method=self.payment_method,
            shipping_address=None if shipping is None else shipping.restored(),
        )


def restored_details(shape: DetailsShape | UnsetType) -> OrderDetails | None:
    return None if shape is UNSET else shape.restored()


class OrderShape(Struct, kw_only=True):
    created_at: datetime
    deleted: bool
    details: DetailsShape | UnsetType = UNSET
    failure_reason: str | None
    holds_stock: bool
    id: UUID
    lines: list[LineShape]
    out_of_stock: Sequence[int] = ()
    payment_id: UUID | None
    refund_requested: bool
    status: str
    total: MoneyShape
    updated_at: datetime
    user_id: int | str
    version: int

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls(
            created_at=order.created_at,
            deleted=order.deleted,
            details=DetailsShape.of_any(order.details),
            failure_reason=order.failure_reason,
            holds_stock=order.holds_stock,
            id=order.id,
            lines=[LineShape.of(line) for line in order.lines],
            out_of_stock=order.out_of_stock,
            payment_id=order.payment_id,
            refund_requested=order.refund_requested,
            status=order.status,
            total=MoneyShape.of(order.total),
            updated_at=order.updated_at,
            user_id=order.user_id,
            version=order.version,
        )

    def restored(self) -> Order:
        return Order(
            id=OrderId(self.id),
            user_id=customer_id(self.user_id),
            lines=tuple(line.restored() for line in self.lines),
            total=self.total.restored(),
            status=OrderStatus(self.status),
            failure_reason=None if self.failure_reason is None else FailureReason(self.failure_reason),
            payment_id=None if self.payment_id is None else PaymentId(self.payment_id),
            holds_stock=self.holds_stock,
            refund_requested=self.refund_requested,
            deleted=self.deleted,
            out_of_stock=tuple(ProductId(id_) for id_ in self.out_of_stock),
            details=restored_details(self.details),
            version=self.version,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class ProductShape(Struct, kw_only=True):
    active: bool
    created_at: datetime
    id: int
    metadata: dict[str, str]
    name: str
    price: MoneyShape
    sku: str | None
    stock: int
    version: int

    @classmethod
    def of(cls, product: Product) -> Self:
        return cls(
            active=product.active,
            created_at=product.created_at,
            id=product.id,
            metadata=dict(product.metadata),
            name=product.name,
            price=MoneyShape.of(product.price),
            sku=product.sku,
            stock=product.stock,
            version=product.version,
        )

    def restored(self) -> Product:
        return Product(
            id=ProductId(self.id),
            name=self.name,
            price=self.price.restored(),
            stock=self.stock,
            created_at=self.created_at,
            version=self.version,
            sku=self.sku,
            active=self.active,
            metadata=self.metadata,
        )
