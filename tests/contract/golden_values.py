"""The meaning of the files in `golden/`: for each kind, the file's name and its value.

A name is what it is, then a number that rises with each change of the shape. The values are written out here, so that
no helper of other tests can change them.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from attrs import evolve

from application.ports.idempotency import Answer
from domain import errors
from domain.catalogue.product import Product
from domain.ids import JobId, OrderId, PaymentId, ProductId, UserId, UserName
from domain.money import Money
from domain.orders.details import Address, OrderDetails
from domain.orders.events import (
    AskedUnder,
    Event,
    OrderAccepted,
    OrderCancelled,
    OrderChangeAccepted,
    OrderChangeRefused,
    OrderCompleted,
    OrderDeleted,
    OrderDetailsChanged,
    OrderExpired,
    OrderFailed,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    PaymentRequested,
    RefundRequested,
    StockReserved,
)
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus

ORDER_ID: Final = OrderId(UUID("019b0c2e-7a00-7123-8456-0123456789ab"))
PAYMENT_ID: Final = PaymentId(UUID("019b0c2e-7b00-7fed-9cba-ba9876543210"))
AT: Final = datetime(2026, 11, 29, 4, 30, 15, 123456, tzinfo=UTC)
LATER: Final = datetime(2026, 11, 29, 5, tzinfo=UTC)
ASKED_AT: Final = datetime(2026, 11, 29, 4, 30, 14, 500000, tzinfo=UTC)
USER_ID: Final = UserId(9_007_199_254_740_993)
USER_NAME: Final = UserName("auth0|Zoë")
TOTAL: Final = Money(29_97, "EUR")
LINES: Final = (
    OrderLine(product_id=ProductId(7), quantity=2, unit_price=Money(12_49, "EUR")),
    OrderLine(product_id=ProductId(9_223_372_036_854_775_807), quantity=1, unit_price=Money(4_99, "EUR")),
)

DETAILS: Final = OrderDetails(
    external_id="Nr. 7/2026",
    email="Zoe@example.org",
    shipping_address=Address(
        name="Zoë",
        company="Ada",
        line1="Weg 1",
        line2="Hof",
        city="Łódź",
        region="LD",
        postal_code="90-001",
        country="PL",
        phone="+48 42 000",
    ),
    billing_address=Address(city="Wien"),
    note='"bitte"\nläuten',
    metadata={"campaign": "x=1", "empty": ""},
    payment_method="pm_123",
)
_ACCEPTED: Final = OrderAccepted(
    order_id=ORDER_ID,
    at=AT,
    user_id=USER_ID,
    lines=LINES,
    total=TOTAL,
    asked_under=AskedUnder(scope="customer 12", key='a "key" ~', fingerprint="0123456789abcdef" * 4),
)
_FAILED: Final = OrderFailed(order_id=ORDER_ID, sequence=3, at=AT, payment_id=PAYMENT_ID, reason="payment_declined")
_OUT_OF_STOCK: Final = OrderFailed(
    order_id=ORDER_ID,
    sequence=3,
    at=AT,
    payment_id=PAYMENT_ID,
    reason="out_of_stock",
    out_of_stock=(ProductId(7), ProductId(8)),
)

# Of the outbox, the history, messages in RabbitMQ, accepted orders and dead letters.
EVENTS: dict[str, Event] = {
    "order.accepted.1.json": _ACCEPTED,
    "order.accepted-without-key.1.json": OrderAccepted(
        order_id=ORDER_ID, at=LATER, user_id=USER_ID, lines=LINES, total=TOTAL
    ),
    # With all that may belong to an order.
    "order.accepted-with-details.3.json": OrderAccepted(
        order_id=ORDER_ID, at=LATER, user_id=USER_ID, lines=LINES, total=TOTAL, details=DETAILS
    ),
    "order.change_accepted.1.json": OrderChangeAccepted(
        order_id=ORDER_ID,
        at=AT,
        job_id=JobId(PAYMENT_ID),
        asked='{"after":[],"by":{"key_id":"ana","request_id":"web-7"},"change":"cancel","owner":12}',
        signature="0123456789abcdef" * 4,
    ),
    "order.placed-with-details.3.json": OrderPlaced(
        order_id=ORDER_ID, sequence=1, at=AT, user_id=USER_ID, lines=LINES, total=TOTAL, details=DETAILS
    ),
    "order.details_changed.1.json": OrderDetailsChanged(
        order_id=ORDER_ID, sequence=2, at=AT, details=OrderDetails(note="ring")
    ),
    "order.change_refused.1.json": OrderChangeRefused(
        order_id=ORDER_ID,
        sequence=3,
        at=AT,
        job_id=JobId(PAYMENT_ID),
        change="cancel",
        code="illegal_transition",
        reason="PROCESSING cannot become CANCELLED",
    ),
    "order.details_changed-to-none.1.json": OrderDetailsChanged(order_id=ORDER_ID, sequence=2, at=AT, details=None),
    # Asked to pay in the same request.
    "order.accepted-to-pay.2.json": OrderAccepted(
        order_id=ORDER_ID, at=LATER, user_id=USER_ID, lines=LINES, total=TOTAL, pay=True
    ),
    "order.placed.1.json": OrderPlaced(order_id=ORDER_ID, sequence=1, at=AT, user_id=USER_ID, lines=LINES, total=TOTAL),
    # A customer may be known by a name.
    "order.accepted-by-name.2.json": OrderAccepted(
        order_id=ORDER_ID, at=LATER, user_id=USER_NAME, lines=LINES, total=TOTAL
    ),
    "order.placed-by-name.2.json": OrderPlaced(
        order_id=ORDER_ID, sequence=1, at=AT, user_id=USER_NAME, lines=LINES, total=TOTAL
    ),
    "order.payment_requested.1.json": PaymentRequested(
        order_id=ORDER_ID, sequence=2, at=AT, payment_id=PAYMENT_ID, amount=TOTAL
    ),
    "order.stock_reserved.1.json": StockReserved(order_id=ORDER_ID, sequence=3, at=LATER),
    "order.paid.1.json": OrderPaid(order_id=ORDER_ID, sequence=4, at=AT, payment_id=PAYMENT_ID, amount=TOTAL),
    # Before it named the products that were out of stock.
    "order.failed.1.json": _FAILED,
    "order.failed.2.json": _FAILED,
    "order.failed-out-of-stock.2.json": _OUT_OF_STOCK,
    "order.cancelled.1.json": OrderCancelled(order_id=ORDER_ID, sequence=2, at=AT),
    "order.expired.1.json": OrderExpired(order_id=ORDER_ID, sequence=2, at=AT),
    "order.completed.1.json": OrderCompleted(order_id=ORDER_ID, sequence=5, at=AT),
    "order.refund_requested.1.json": RefundRequested(
        order_id=ORDER_ID, sequence=5, at=AT, payment_id=PAYMENT_ID, amount=TOTAL
    ),
    "order.refunded.1.json": OrderRefunded(
        order_id=ORDER_ID, sequence=6, at=AT, payment_id=PAYMENT_ID, amount=Money(2**53 - 1, "JPY")
    ),
    "order.deleted.1.json": OrderDeleted(order_id=ORDER_ID, sequence=2**31 - 1, at=AT),
}
# Each names the request that caused it.
EVENTS |= {
    f"{event.type}-of-request.4.json": evolve(event, request_id="web-7_Zoe")
    for event in {event.type: event for event in EVENTS.values()}.values()
}

# Those that record an answer of the payment provider tell when it was asked.
EVENTS |= {
    f"{name}-asked.5.json": evolve(EVENTS[f"{name}.{number}.json"], asked_at=ASKED_AT)
    for name, number in (("order.paid", 1), ("order.failed", 2), ("order.refunded", 1))
}

PLACED: Final = Order(id=ORDER_ID, user_id=USER_ID, lines=LINES, total=TOTAL, version=1, created_at=AT, updated_at=AT)
FAILED: Final = Order(
    id=ORDER_ID,
    user_id=USER_ID,
    lines=LINES,
    total=TOTAL,
    status=OrderStatus.FAILED,
    failure_reason=FailureReason.OUT_OF_STOCK,
    payment_id=PAYMENT_ID,
    out_of_stock=(ProductId(7),),
    version=3,
    created_at=AT,
    updated_at=LATER,
)
# Every mark that an order can have beside these.
REFUND_REQUESTED: Final = Order(
    id=ORDER_ID,
    user_id=USER_ID,
    lines=LINES,
    total=TOTAL,
    status=OrderStatus.PAID,
    payment_id=PAYMENT_ID,
    holds_stock=True,
    refund_requested=True,
    version=5,
    created_at=AT,
    updated_at=LATER,
)
DELETED: Final = Order(
    id=ORDER_ID,
    user_id=USER_ID,
    lines=LINES,
    total=TOTAL,
    status=OrderStatus.EXPIRED,
    deleted=True,
    version=3,
    created_at=AT,
    updated_at=LATER,
)

# Under idempotency keys.
STORED_RESPONSES: Final[dict[str, Answer]] = {
    # Before it named the products that were out of stock.
    "placed.1.json": PLACED,
    "placed.2.json": PLACED,
    # A customer may be known by a name.
    "placed-by-name.3.json": evolve(PLACED, user_id=USER_NAME),
    "placed-with-details.4.json": evolve(PLACED, details=DETAILS),
    "failed.2.json": FAILED,
    "refund_requested.2.json": REFUND_REQUESTED,
    "deleted.2.json": DELETED,
    "refusal-refused.1.json": errors.DomainError("it is refused"),
    "refusal-invalid_amount.1.json": errors.InvalidAmount("the amount is too large"),
    "refusal-currency_mismatch.1.json": errors.CurrencyMismatch("EUR and JPY can't be added"),
    "refusal-invalid_order.1.json": errors.InvalidOrder("an item has 1 unit at least", field="items[1].quantity"),
    "refusal-external_id_taken.1.json": errors.ExternalIdTaken("order 1 has the external id", field="external_id"),
    "refusal-illegal_transition.1.json": errors.IllegalTransition("order 1 is PAID and can't become CANCELLED"),
    "refusal-out_of_stock.1.json": errors.OutOfStock("product 7 has 1 unit left"),
    "refusal-unknown_product.1.json": errors.UnknownProduct("there is no product 404", field="items[0].product_id"),
    "refusal-with-others.2.json": errors.UnknownProduct(
        "there is no product 404",
        field="items[0].product_id",
        others=(errors.UnknownProduct("there is no product 405", field="items[2].product_id"),),
    ),
    "refusal-invalid_product.1.json": errors.InvalidProduct("a name has 1 character at least", field="name"),
    "refusal-product_exists.1.json": errors.ProductExists("product 7 exists already", field="id"),
    "product.1.json": Product(
        id=ProductId(7),
        name='Füllfeder "Ada"',
        price=Money(12_49, "EUR"),
        stock=3,
        created_at=AT,
        version=17,
        sku="PEN-1",
        active=False,
        metadata={"colour": "blå", "shelf": "3"},
    ),
    "refusal-price_changed.1.json": errors.PriceChanged("product 7 costs 1 EUR now", field="items[0].unit_price"),
    "refusal-cart_empty.1.json": errors.CartEmpty("there is nothing in this cart"),
    "refusal-invalid_cart.1.json": errors.InvalidCart("a cart has at most 100 products"),
    "refusal-sku_taken.1.json": errors.SkuTaken("product 7 has the SKU PEN-1"),
    "refusal-not_for_sale.1.json": errors.NotForSale("product 7 is not for sale", field="items[0].product_id"),
    "refusal-stock_differs.1.json": errors.StockDiffers("product 7 has 3 units, and 4 were expected"),
    "refusal-invalid_metadata.1.json": errors.InvalidMetadata("there are at most 50 keys", field="metadata"),
    "refusal-unknown_order.1.json": errors.UnknownOrder(f"there is no order {ORDER_ID}"),
}

WITH_DETAILS: Final = evolve(FAILED, details=DETAILS)

# In Redis. A release ignores the entries of another shape; the number is that of the shape.
CACHED_ORDERS: Final[dict[str, Order]] = {
    "failed.1.json": FAILED,
    "failed.2.json": FAILED,
    "failed.3.json": WITH_DETAILS,
}
PEN: Final = Product(
    id=ProductId(7), name='Füllfeder "Ada"', price=Money(12_49, "EUR"), stock=0, created_at=AT, version=17
)
CACHED_PAGES: Final[dict[str, list[Product]]] = {
    f"page.{shape}.json": [
        evolve(PEN, sku="PEN-1", active=False, metadata={"colour": "blå"}) if shape >= 3 else PEN,
        Product(
            id=ProductId(9_223_372_036_854_775_807),
            name="ink",
            price=Money(0, "JPY"),
            stock=2**53 - 1,
            created_at=LATER,
        ),
    ]
    for shape in (1, 2, 3)
}
