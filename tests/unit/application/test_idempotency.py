"""Repeated requests under a key, for orders and for payments."""

import asyncio
from datetime import timedelta

import pytest

from application.assembly import assemble
from application.assembly.limits import Limits
from application.errors import Aborted, Unavailable
from application.execution.batching import Batched
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.order_request import OrderRequest
from application.ports.idempotency import IdempotencyKey
from domain.catalogue.product import Product
from domain.errors import UnknownOrder, UnknownProduct
from domain.ids import OrderId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.loops import Stop
from entrypoints.programs.worker import Worker
from tests.unit.builders import a_product
from tests.unit.provider import Crash
from tests.unit.shop import Shop, a_request, accepted, types
from tests.unit.unsteady import Trouble


def keyed(
    *items: tuple[Product, int], key: str = "monday", user_id: int = 1, fingerprint: str | None = None
) -> Keyed[OrderRequest]:
    scope, request = f"customer {user_id}", a_request(*items, user_id=user_id)
    return Keyed(request, IdempotencyKey(scope, key), repr(request) if fingerprint is None else fingerprint)


def to_pay(order: Order, *, key: str = "monday") -> Keyed[OrderId]:
    return Keyed(order.id, IdempotencyKey(f"order {order.id}", key), "pay")


async def test_one_key_is_one_order(shop: Shop) -> None:
    pen = await shop.sells()
    [first] = await shop.place_order([keyed((pen, 2))])
    for _ in range(3):
        assert await shop.place_order([keyed((pen, 2))]) == [Replayed(accepted(first))]
    assert list(shop.store.orders) == [accepted(first).id]
    assert types(await shop.outbox()) == ["placed"]


async def test_without_a_key_every_request_is_an_order(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.place_order([a_request((pen, 2)), a_request((pen, 2))])
    assert len(shop.store.orders) == 2
    assert shop.store.idempotency_keys == {}


async def test_the_answer_is_the_first_one_though_the_order_has_gone_on(shop: Shop) -> None:
    pen = await shop.sells()
    [first] = await shop.place_order([keyed((pen, 2))])
    shop.clock.forward(timedelta(days=400))
    await shop.cancel_order([accepted(first).id])

    [again] = await shop.place_order([keyed((pen, 2))])

    assert again == Replayed(accepted(first))
    assert accepted(first).status is OrderStatus.PENDING
    assert (await shop.now(accepted(first))).status is OrderStatus.CANCELLED


async def test_a_refusal_is_the_answer_as_well(shop: Shop) -> None:
    pen = a_product(1)
    [first] = await shop.place_order([keyed((pen, 2))])
    assert isinstance(first, UnknownProduct)
    await shop.sells()

    [again] = await shop.place_order([keyed((pen, 2))])

    assert isinstance(again, Replayed)
    assert isinstance(again.answer, UnknownProduct)
    assert (str(again.answer), again.answer.field) == (str(first), first.field)
    assert shop.store.orders == {}
    accepted((await shop.place_order([keyed((pen, 2), key="tuesday")]))[0])


async def test_another_request_under_the_key_is_refused_and_changes_nothing(shop: Shop) -> None:
    pen = await shop.sells()
    [first] = await shop.place_order([keyed((pen, 2))])
    [other] = await shop.place_order([keyed((pen, 3))])
    assert isinstance(other, KeyReused)
    assert await shop.place_order([keyed((pen, 2))]) == [Replayed(accepted(first))]
    assert len(shop.store.orders) == 1


async def test_two_customers_may_choose_the_same_key(shop: Shop) -> None:
    pen = await shop.sells()
    hers, his = await shop.place_order([keyed((pen, 2), user_id=1), keyed((pen, 2), user_id=2)])
    assert (accepted(hers).user_id, accepted(his).user_id) == (1, 2)


async def test_a_batch_keeps_its_members_apart(shop: Shop) -> None:
    pen = await shop.sells()
    [known] = await shop.place_order([keyed((pen, 9), key="sunday")])

    outcomes = await shop.place_order(
        [
            keyed((pen, 1)),
            a_request((pen, 1)),
            keyed((pen, 9), key="sunday"),
            keyed((pen, 1)),
            keyed((pen, 2)),
            keyed((a_product(99), 1), key="tuesday"),
            a_request((pen, 1)),
            keyed((a_product(99), 1), key="tuesday"),
        ]
    )

    first, *_ = outcomes
    assert [type(outcome) for outcome in outcomes] == [
        Order,
        Order,
        Replayed,
        Replayed,
        KeyReused,
        UnknownProduct,
        Order,
        Replayed,
    ]
    assert outcomes[2] == Replayed(known)
    assert outcomes[3] == Replayed(first)
    assert isinstance(outcomes[7].answer, UnknownProduct)
    assert len(shop.store.orders) == 4


async def test_one_call_twice_in_a_batch_is_one_order(shop: Shop) -> None:
    call = keyed((await shop.sells(), 2))
    first, again = await shop.place_order([call, call])
    assert again == Replayed(first)
    assert len(shop.store.orders) == 1


async def test_what_passes_is_not_the_answer(shop: Shop) -> None:
    pen = await shop.sells()
    for error in (Unavailable("the database is gone"), Aborted("deadlock"), TimeoutError(), RuntimeError("a mistake")):
        shop.unsteady.to_come.append(Trouble(error))
        with pytest.raises(type(error)):
            await shop.place_order([keyed((pen, 2))])
    [outcome] = await shop.place_order([keyed((pen, 2))])
    assert accepted(outcome).version == 1


@pytest.mark.parametrize("error", [Crash(), Unavailable("there was no answer to the commit")])
async def test_an_answer_that_was_lost_is_given_again(shop: Shop, error: BaseException) -> None:
    pen = await shop.sells()
    shop.unsteady.to_come.append(Trouble(error, committed=True))
    with pytest.raises(type(error)):
        await shop.place_order([keyed((pen, 2))])

    [again] = await shop.place_order([keyed((pen, 2))])

    [order] = shop.store.orders.values()
    assert again == Replayed(order)


async def test_concurrent_requests_under_a_key_get_the_same_answer(shop: Shop) -> None:
    pen = await shop.sells()
    place_order = Batched(shop.place_order, max_size=7, max_in_flight=3)
    outcomes = await asyncio.gather(*(place_order(keyed((pen, 2))) for _ in range(50)))
    [order] = shop.store.orders.values()
    assert sorted(isinstance(outcome, Replayed) for outcome in outcomes) == [False] + 49 * [True]
    assert all(outcome in (order, Replayed(order)) for outcome in outcomes)


async def test_a_payment_is_asked_for_once_under_a_key(shop: Shop) -> None:
    pen = await shop.sells()
    shop.provider.declines = True
    order = await shop.order((pen, 1))
    [first] = await shop.request_payment([to_pay(order)])
    asked = accepted(first)
    assert await shop.process_payment([(await shop.history(order))[-1]]) == [None]
    assert (await shop.now(order)).status is OrderStatus.FAILED

    [again] = await shop.request_payment([to_pay(order)])

    assert again == Replayed(asked)
    assert asked.status is OrderStatus.PROCESSING
    assert len(shop.store.payments) == 1
    [anew] = await shop.request_payment([to_pay(order, key="tuesday")])
    assert accepted(anew).payment_id != asked.payment_id


async def test_a_payment_with_and_without_a_key_in_one_batch_is_one(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    outcomes = await shop.request_payment([order.id, to_pay(order), to_pay(order), to_pay(order, key="tuesday")])
    assert [type(outcome) for outcome in outcomes] == [Order, Order, Replayed, Order]
    assert len(shop.store.payments) == 1


async def test_an_unknown_order_is_not_a_stored_response_for_it_may_be_recorded_later(shop: Shop) -> None:
    order = accepted((await shop.place_order([a_request((await shop.sells(), 1))]))[0])
    await shop.delete_order([order.id])
    [first] = await shop.request_payment([to_pay(order)])
    [again] = await shop.request_payment([to_pay(order)])
    assert isinstance(first, UnknownOrder)
    assert isinstance(again, UnknownOrder)
    assert shop.store.idempotency_keys == {}


async def test_a_worker_prunes_keys_that_are_older_than_their_retention_and_by_default_none(shop: Shop) -> None:
    assert assemble(shop.ports, Limits()).prune_keys is None
    pen = await shop.sells()
    await shop.place_order([keyed((pen, 1), key=f"old {number}") for number in range(5)])
    shop.clock.forward(timedelta(days=1))
    await shop.place_order([keyed((pen, 1), key="new")])
    shop.clock.forward(timedelta(hours=1))
    stop, use_cases = Stop(), assemble(shop.ports, Limits(key_retention=timedelta(days=1)))
    worker = Worker(use_cases=use_cases, stuck_after=timedelta(days=1), batches=1)
    running = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(30):
        while len(shop.store.idempotency_keys) > 1:  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)
        stop.set()
        await running
    assert [key.value for key in shop.store.idempotency_keys] == ["new"]
