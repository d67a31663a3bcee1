from typing import Any

import pytest
from attrs import evolve

from application.access.principal import SYSTEM
from application.execution.conditional import PreconditionFailed
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.queue_orders import Queued, RequestUnknown
from application.orders.change_details import ChangeDetails, DetailsChange
from application.ports.idempotency import IdempotencyKey
from domain.errors import ExternalIdTaken, IllegalTransition, InvalidOrder
from domain.metadata import MAX_KEYS
from domain.orders.details import Address, OrderDetails
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request, accepted, types

FIRST = OrderDetails(external_id="7", note="ring", metadata={"a": "1", "b": "2"}, shipping_address=Address(city="Graz"))


async def an_order(shop: Shop, details: OrderDetails | None = FIRST, *, user_id: int = 1) -> Order:
    pen = await shop.sells()
    [order] = await shop.place_order([evolve(a_request((pen, 1), user_id=user_id), details=details)])
    return accepted(order)


async def change(shop: Shop, order: Order, **changes: Any) -> Any:
    [outcome] = await ChangeDetails(shop.unit_of_work, shop.clock)([DetailsChange(order.id, changes=changes)])
    return outcome


async def test_an_order_has_the_details_that_it_was_placed_with(shop: Shop) -> None:
    order = await an_order(shop)
    assert order.details == FIRST
    assert await shop.now(order) == order


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"note": "knock"}, evolve(FIRST, note="knock")),
        ({"note": None}, evolve(FIRST, note=None)),
        ({"metadata": {"a": "3", "b": None, "c": "4"}}, evolve(FIRST, metadata={"a": "3", "c": "4"})),
        ({"metadata": None}, evolve(FIRST, metadata={})),
        ({"shipping_address": Address(line1="Weg 1")}, evolve(FIRST, shipping_address=Address(line1="Weg 1"))),
        ({"billing_address": Address(city="Wien")}, evolve(FIRST, billing_address=Address(city="Wien"))),
    ],
)
async def test_what_is_sent_changes_and_the_rest_stays(
    shop: Shop, changes: dict[str, Any], expected: OrderDetails
) -> None:
    order = await an_order(shop)
    changed = await change(shop, order, **changes)
    assert (changed.details, changed.version) == (expected, 2)
    assert await shop.now(order) == changed
    assert types(await shop.history(order)) == ["placed", "details_changed"]


@pytest.mark.parametrize("changes", [{}, {"note": "ring"}, {"metadata": {"a": "1", "z": None}}])
async def test_a_change_to_what_is_already_so_is_none(shop: Shop, changes: dict[str, Any]) -> None:
    order = await an_order(shop)
    assert await change(shop, order, **changes) == order
    assert types(await shop.history(order)) == ["placed"]


async def test_an_order_whose_last_detail_is_removed_has_none(shop: Shop) -> None:
    order = await an_order(shop, OrderDetails(note="ring"))
    assert (await change(shop, order, note=None)).details is None


async def test_metadata_is_bounded_after_it_was_merged(shop: Shop) -> None:
    order = await an_order(shop, OrderDetails(metadata={str(number): "" for number in range(MAX_KEYS)}))
    refused = await change(shop, order, metadata={"more": ""})
    assert isinstance(refused, InvalidOrder)
    assert refused.field == "metadata"
    assert (await change(shop, order, metadata={"more": "", "0": None})).version == 2


async def test_an_order_is_changed_only_as_its_client_expects_it(shop: Shop) -> None:
    order = await an_order(shop)
    use_case = ChangeDetails(shop.unit_of_work, shop.clock)
    [refused] = await use_case([DetailsChange(order.id, lambda _: False, changes={"note": "knock"})])
    assert isinstance(refused, PreconditionFailed)
    assert await shop.now(order) == order


async def test_a_delivered_order_has_its_address_for_good(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    await shop.complete_order([order.id])
    assert isinstance(await change(shop, order, shipping_address=Address(city="Graz")), IllegalTransition)
    assert (await change(shop, order, note="thanks")).status is OrderStatus.COMPLETED


async def test_an_external_id_names_one_order_of_a_customer(shop: Shop) -> None:
    pen = await shop.sells()
    wanted = evolve(a_request((pen, 1)), details=FIRST)
    first, beside, of_another = await shop.place_order([wanted, wanted, evolve(wanted, user_id=2)])
    [later] = await shop.place_order([wanted])
    assert isinstance(first, Order)
    assert isinstance(of_another, Order)
    for refused in (beside, later):
        assert isinstance(refused, ExternalIdTaken)
        assert refused.field == "external_id"
        assert str(first.id) in str(refused)
    await shop.cancel_order([first.id])
    await shop.delete_order([first.id])
    [again] = await shop.place_order([wanted])
    assert isinstance(again, Order)
    assert len(shop.store.orders) == 3


async def test_an_external_id_that_is_taken_while_an_order_was_queued_is_for_a_person_to_decide(shop: Shop) -> None:
    intakes = Intakes(shop)
    pen = await shop.sells()
    await intakes.learn_prices()
    wanted = evolve(a_request((pen, 1)), details=FIRST)
    [queued, _] = await intakes.queue_orders([shop.number(wanted), shop.number(wanted)])
    assert isinstance(queued, Queued)
    assert queued.order.details == FIRST
    outcomes = await intakes.work_off()
    assert [type(outcome) for outcome in outcomes] == [type(None), ExternalIdTaken]
    assert [*shop.store.orders.values()] == [queued.order]


async def test_a_key_of_an_order_that_has_changed_since_is_looked_up_in_the_database(shop: Shop) -> None:
    """The order alone can't tell whether the request differs or the order was changed."""
    intakes = Intakes(shop)
    pen = await shop.sells()
    await intakes.learn_prices()
    call = Keyed(evolve(a_request((pen, 1)), details=FIRST), IdempotencyKey("customer 1", "monday"), "the first")
    other = evolve(call, call=evolve(call.call, details=evolve(FIRST, note="whisper")), fingerprint="another")
    [queued] = await intakes.queue_orders([shop.number(call)])
    assert isinstance(queued, Queued)
    [refused] = await intakes.queue_orders([shop.number(other)])
    assert isinstance(refused, KeyReused)
    await intakes.work_off()
    await intakes.recent.put_many([await change(shop, queued.order, note="knock")])
    for again in await intakes.queue_orders([shop.number(call)]):
        assert isinstance(again, RequestUnknown)
    assert await intakes.queued.place_order(SYSTEM, call) == Replayed(queued.order)
    with pytest.raises(KeyReused):
        await intakes.queued.place_order(SYSTEM, other)
