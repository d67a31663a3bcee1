"""Orders and dead letters are found by the part of an order's id that a list shows."""

from uuid import UUID

import pytest
from attrs import evolve

from adapters.codecs.events import encode
from application.access.principal import SYSTEM
from application.operations.find_letters import FindLetters
from application.orders.find_by_id_part import FindByIdPart, IdPart
from domain.dead_letter import DeadMessage
from domain.ids import OrderId
from domain.orders.order import Order
from tests.brokers import payment_requested
from tests.unit.builders import NOW, an_order
from tests.unit.shop import Shop

IDS = [
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "01890a5d-ac96-774b-bcce-b302099a8058",
    "01890a5d-ac97-774b-bcce-b302099a8057",
    "01890a5e-ac96-774b-bcce-b302099a8057",
]


@pytest.fixture
def shop() -> Shop:
    """Its orders have ids that a test chooses, and so no history."""
    return Shop()


async def keep(shop: Shop, *ids: str, **more: object) -> list[Order]:
    orders = [evolve(an_order(), id=OrderId(UUID(id_)), **more) for id_ in ids]
    async with shop.unit_of_work() as tx:
        await tx.orders.add_many(orders)
    return orders


@pytest.mark.parametrize(
    ("part", "found"),
    [
        (IdPart("01890a5d"), [2, 1, 0]),
        (IdPart("01890a5d-ac96"), [1, 0]),
        (IdPart("01890a5d-ac96", "099a8057"), [0]),
        (IdPart("01890a5d", "099a8057"), [2, 0]),
        (IdPart(IDS[3]), [3]),
        (IdPart("01890a5f"), []),
    ],
)
async def test_orders_are_found_by_a_part_of_their_id(shop: Shop, part: IdPart, found: list[int]) -> None:
    await shop.sells()
    await keep(shop, *IDS)
    told = await shop.use_cases.find_by_id_part(SYSTEM, part, limit=9)
    assert ([str(order.id) for order in told.orders], told.more) == ([IDS[number] for number in found], False)


async def test_of_many_orders_some_are_shown_and_of_deleted_ones_none(shop: Shop) -> None:
    await shop.sells()
    await keep(shop, *IDS[:3])
    told = await shop.use_cases.find_by_id_part(SYSTEM, IdPart("01890a5d"), limit=2)
    assert ([str(order.id) for order in told.orders], told.more) == ([IDS[2], IDS[1]], True)
    await keep(shop, IDS[3], deleted=True)
    assert (await shop.use_cases.find_by_id_part(SYSTEM, IdPart("01890a5e"), limit=2)).orders == []


async def test_a_bounded_number_of_ids_is_looked_at_for_their_end_and_the_page_says_so(shop: Shop) -> None:
    await shop.sells()
    await keep(shop, *IDS[:3])
    find = FindByIdPart(shop.unit_of_work, shop.recent, most=2)
    told = await find(SYSTEM, IdPart("01890a5d", "099a8057"), limit=9)
    assert ([str(order.id) for order in told.orders], told.more) == ([IDS[2]], True)


async def test_letters_are_found_by_a_part_of_the_id_of_their_order(shop: Shop) -> None:
    events = [evolve(payment_requested(), order_id=OrderId(UUID(id_))) for id_ in IDS]
    bodies = [b"no event", *map(encode, events)]
    messages = [DeadMessage(body=body, reason="KeyError: x", attempts=1, first_at=NOW, last_at=NOW) for body in bodies]
    async with shop.unit_of_work() as tx:
        for message in messages:
            await tx.dead_letters.record("payments", [message])

    async def found(part: IdPart, limit: int = 9, most: int = 9) -> tuple[list[str], bool]:
        told = await FindLetters(shop.unit_of_work, most=most)(SYSTEM, part, limit=limit)
        return [str(each.event.order_id) for each in told.letters if each.event], told.more

    assert await found(IdPart("01890a5d")) == (IDS[:3], False)
    assert await found(IdPart("01890a5d-ac96", "b302099a8058")) == ([IDS[1]], False)
    assert await found(IdPart("01890a5d"), limit=2) == (IDS[:2], True)
    # A bounded number of letters is looked at, and the page says so.
    assert await found(IdPart("01890a5d"), most=2) == (IDS[:1], True)
    await shop.use_cases.discard_dead_letters(SYSTEM, [2], reason="x")
    assert await found(IdPart("01890a5d")) == (IDS[1:3], False)
