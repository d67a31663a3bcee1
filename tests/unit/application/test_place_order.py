import pytest
from attrs import evolve

from application.intake.order_request import OrderRequest, RequestedItem
from domain.errors import CurrencyMismatch, DomainError, InvalidAmount, InvalidOrder, UnknownProduct
from domain.ids import ProductId, UserId
from domain.money import MAX_MINOR, Money
from domain.orders.events import PaymentRequested
from domain.orders.limits import MAX_LINES, MAX_QUANTITY
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.builders import NOW, a_product
from tests.unit.provider import Crash
from tests.unit.shop import Shop, a_request, accepted, types
from tests.unit.unsteady import Trouble


async def test_an_order_is_placed_at_the_prices_of_the_catalogue(shop: Shop) -> None:
    pen, ink = await shop.sells(price=1250), await shop.sells(price=300)

    order = await shop.order((pen, 2), (ink, 1), user_id=7)

    assert (order.status, order.user_id, order.total) == (OrderStatus.PENDING, 7, Money(2800, "EUR"))
    assert [line.unit_price.minor for line in order.lines] == [1250, 300]
    assert order.created_at == NOW
    assert await shop.now(order) == order
    assert types(await shop.history(order)) == types(await shop.outbox()) == ["placed"]


async def test_the_price_is_fixed_when_the_order_is_placed(shop: Shop) -> None:
    pen = await shop.sells(price=1250)
    order = await shop.order((pen, 2))

    shop.store.products[pen.id].price = Money(9900, "EUR")

    assert (await shop.now(order)).total == Money(2500, "EUR")
    assert (await shop.order((pen, 2))).total == Money(19800, "EUR")


async def test_placing_an_order_takes_no_stock(shop: Shop) -> None:
    pen = await shop.sells(stock=1)
    await shop.order((pen, 3))
    assert await shop.stock_of(pen) == 1


async def test_what_must_be_refused_is_refused_alone(shop: Shop) -> None:
    pen, yen_pen = await shop.sells(), await shop.sells(currency="JPY")
    requests = [
        a_request((pen, 1)),
        a_request((pen, 1), (a_product(99), 1)),
        a_request((pen, 0)),
        a_request(),
        a_request((pen, 1), (yen_pen, 1)),
        a_request((pen, 2)),
    ]

    outcomes = await shop.place_order(requests)

    assert [type(outcome) for outcome in outcomes] == [
        Order,
        UnknownProduct,
        InvalidOrder,
        InvalidOrder,
        CurrencyMismatch,
        Order,
    ]
    assert len(shop.store.orders) == 2
    assert types(await shop.outbox()) == ["placed", "placed"]


@pytest.mark.parametrize(
    ("items", "refusal", "field"),
    [
        ([(1, 1), (99, 1)], UnknownProduct, "items[1].product_id"),
        ([(1, -1)], InvalidOrder, "items[0].quantity"),
        ([(1, MAX_QUANTITY + 1)], InvalidOrder, "items[0].quantity"),
        ([(1, 2**63)], InvalidOrder, "items[0].quantity"),
        ([], InvalidOrder, "items"),
        ([(1, 1)] * (MAX_LINES + 1), InvalidOrder, "items"),
        ([(1, MAX_QUANTITY), (2, 1), (1, 1)], InvalidOrder, "items[2].quantity"),
        ([(1, 1), (1, 1), (99, 1)], UnknownProduct, "items[2].product_id"),
        ([(2, 2)], InvalidAmount, None),
    ],
)
async def test_a_refusal_names_the_part_that_is_wrong(
    shop: Shop, items: list[tuple[int, int]], refusal: type[DomainError], field: str | None
) -> None:
    await shop.sells()
    await shop.sells(price=MAX_MINOR)
    request = OrderRequest(UserId(1), tuple(RequestedItem(ProductId(id_), quantity) for id_, quantity in items))

    [outcome] = await shop.place_order([request])

    assert isinstance(outcome, refusal)
    assert outcome.field == field


async def test_the_quantities_of_a_product_that_comes_twice_are_added_up(shop: Shop) -> None:
    pen, ink = await shop.sells(), await shop.sells(price=300)

    order = await shop.order((pen, 1), (ink, 1), (pen, 2))

    assert [(line.product_id, line.quantity) for line in order.lines] == [(pen.id, 3), (ink.id, 1)]
    assert order.total == Money(3 * 1250 + 300, "EUR")


async def test_an_order_to_pay_is_placed_and_its_payment_requested_in_one_transaction(shop: Shop) -> None:
    pen = await shop.sells()
    request = evolve(a_request((pen, 2)), pay=True)
    shop.unsteady.to_come.append(Trouble(Crash()))
    with pytest.raises(Crash):
        await shop.place_order([request])
    assert (shop.store.orders, shop.store.payments) == ({}, {})

    order = accepted((await shop.place_order([request]))[0])

    assert (order.status, order.version) == (OrderStatus.PROCESSING, 2)
    assert types(await shop.history(order)) == types(await shop.outbox()) == ["placed", "payment_requested"]
    await shop.process_payment([event for event in await shop.history(order) if isinstance(event, PaymentRequested)])
    assert (await shop.now(order)).status is OrderStatus.PAID
    assert [(charge.key, charge.minor) for charge in shop.provider.ledger] == [(order.payment, 2500)]
    assert await shop.findings() == []


@pytest.mark.parametrize("committed", [False, True])
async def test_a_crash_leaves_all_orders_of_a_batch_or_none(shop: Shop, *, committed: bool) -> None:
    pen = await shop.sells()
    shop.unsteady.to_come.append(Trouble(Crash(), committed=committed))

    with pytest.raises(Crash):
        await shop.place_order([a_request((pen, 1)), a_request((pen, 2))])

    assert len(shop.store.orders) == len(await shop.outbox()) == (2 if committed else 0)


async def test_later_orders_have_larger_ids(shop: Shop) -> None:
    pen = await shop.sells()
    outcomes = await shop.place_order([a_request((pen, 1)) for _ in range(5)])
    ids = [accepted(outcome).id for outcome in outcomes]
    assert ids == sorted(ids)
