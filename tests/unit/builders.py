"""Examples to begin a test with: each argument that a test does not care about has a value."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from attrs import define, field

from application.ports.api_keys import ApiKey
from domain.catalogue.product import Product
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.money import Money
from domain.orders.events import OrderPlaced
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
PAYMENT = PaymentId(UUID(int=0x0195_5000_0000_7000_8000_0000_0000_0001))


@define
class ManualClock:
    """A clock that the test moves."""

    moment: datetime = NOW

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, by: timedelta) -> None:
        self.moment += by


@define
class CountedIds:
    """Ids that rise like those of UUIDv7, and are the same in each run."""

    _numbers: "count[int]" = field(factory=lambda: count(1))

    def __call__(self) -> UUID:
        return UUID(int=0x0195_5000_0000_7000_8000_0000_0000_0000 + next(self._numbers))


@define
class CountedSecrets:
    """Secrets that nobody would take for one."""

    _numbers: "count[int]" = field(factory=lambda: count(1))

    def __call__(self) -> str:
        return f"{next(self._numbers):012}" + "x" * 20


def an_api_key(id_: str = "0123456789ab", **more: Any) -> ApiKey:
    given = {
        "kind": "live",
        "role": "shop",
        "name": "a till",
        "scopes": frozenset({"orders:read"}),
        "created_by": "ana",
    }
    return ApiKey(**{"id": id_, "digest": "0" * 64, "created_at": NOW, **given, **more})


def euros(minor: int) -> Money:
    return Money(minor, "EUR")


def a_product(number: int = 1, *, stock: int = 5, price: int = 1250) -> Product:
    return Product(id=ProductId(number), name="fountain pen", price=euros(price), stock=stock, created_at=NOW)


def a_line(number: int = 1, *, quantity: int = 2, price: int = 1250, currency: str = "EUR") -> OrderLine:
    return OrderLine(product_id=ProductId(number), quantity=quantity, unit_price=Money(price, currency))


def placed(*lines: OrderLine, number: int = 1) -> tuple[Order, OrderPlaced]:
    return Order.place(order_id=OrderId(UUID(int=number)), user_id=UserId(1), lines=lines or [a_line()], at=NOW)


def an_order(*lines: OrderLine, number: int = 1) -> Order:
    return placed(*lines, number=number)[0]


def order_in(status: OrderStatus) -> tuple[Order, dict[ProductId, Product]]:
    """An order that reached a status through its usual transitions, and its product."""
    order, products = an_order(), {ProductId(1): a_product()}
    if status is OrderStatus.CANCELLED:
        order.cancel(at=NOW)
    elif status is OrderStatus.EXPIRED:
        order.expire(at=NOW)
    elif status is not OrderStatus.PENDING:
        order.request_payment(PAYMENT, at=NOW)
        order.reserve_stock(products, at=NOW)
    if status is OrderStatus.FAILED:
        order.fail(FailureReason.PAYMENT_DECLINED, products, at=NOW)
    if status in {OrderStatus.PAID, OrderStatus.COMPLETED, OrderStatus.REFUNDED}:
        order.pay(at=NOW)
    if status is OrderStatus.COMPLETED:
        order.complete(at=NOW)
    if status is OrderStatus.REFUNDED:
        order.refund(products, at=NOW)
    return order, products
