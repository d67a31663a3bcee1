import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest
from attrs import evolve
from sqlalchemy import event, update
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.sql.tables.shop import idempotency_keys
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Aborted, BrokenRow
from application.execution.after_commit import Committed, propagate_nothing
from application.execution.idempotency import Keyed, KeyInFlight, KeyReused, Replayed
from application.intake.order_request import NumberRequests, OrderRequest, RequestedItem
from application.intake.place_order import PlaceOrder
from application.ports.idempotency import Answer, IdempotencyKey, StoredResponse
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError, IllegalTransition, InvalidOrder, UnknownProduct
from domain.ids import ProductId, UserId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.contract.conftest import OpenUnitOfWork, keep
from tests.unit.builders import LATER, NOW, a_product, an_order, order_in, placed

KEY = IdempotencyKey("customer 1", "monday")
A_DAY: Final = timedelta(days=1)
ANY_AGE: Final = -A_DAY


def kept(key: IdempotencyKey = KEY, *, answer: Answer | None = None) -> StoredResponse:
    return StoredResponse(key, "f" * 64, an_order() if answer is None else answer)


async def add(unit_of_work: UnitOfWork, *new: StoredResponse) -> None:
    async with unit_of_work() as tx:
        await tx.idempotency_keys.claim([one.key for one in new])
        await tx.idempotency_keys.add_many(new)


async def claim(unit_of_work: UnitOfWork, *keys: IdempotencyKey) -> dict[IdempotencyKey, StoredResponse | None]:
    async with unit_of_work() as tx:
        return await tx.idempotency_keys.claim(keys)


async def test_under_a_new_key_nothing_is_kept(unit_of_work: UnitOfWork) -> None:
    assert await claim(unit_of_work, KEY) == {KEY: None}


async def test_an_answer_is_there_for_good(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, kept())
    for _ in range(2):
        assert await claim(unit_of_work, KEY) == {KEY: kept()}


async def test_whoever_is_given_an_answer_again_is_not_to_find_an_older_order(
    open_unit_of_work: OpenUnitOfWork,
) -> None:
    heard: list[Committed] = []

    async def listen(committed: Committed) -> None:
        heard.append(committed)

    order = evolve(an_order(), version=2)
    await add(open_unit_of_work(propagate_nothing), kept(answer=order))
    await claim(open_unit_of_work(listen), KEY)
    assert [committed.seen for committed in heard] == [{order.id: 2}]


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_is_kept_in_any_status(unit_of_work: UnitOfWork, status: OrderStatus) -> None:
    answer = kept(answer=order_in(status)[0])
    await add(unit_of_work, answer)
    assert await claim(unit_of_work, KEY) == {KEY: answer}


async def test_an_order_is_kept_as_it_was(unit_of_work: UnitOfWork) -> None:
    order, _ = placed()
    await keep(unit_of_work, products=[a_product()], orders=[order])
    await add(unit_of_work, kept(answer=order))

    order.cancel(at=LATER)
    async with unit_of_work() as tx:
        await tx.orders.save_many([order])

    [found] = (await claim(unit_of_work, KEY)).values()
    assert found is not None
    assert isinstance(found.answer, Order)
    assert found.answer.status is OrderStatus.PENDING
    found.answer.cancel(at=LATER)
    assert await claim(unit_of_work, KEY) == {KEY: kept(answer=placed()[0])}


REFUSALS = [refusal for refusal in DomainError.__subclasses__() if refusal.__module__ == "domain.errors"]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
async def test_a_refusal_is_kept_with_its_words(unit_of_work: UnitOfWork, refusal: type[DomainError]) -> None:
    await add(unit_of_work, kept(answer=refusal("there is no „Füller“", field="items[1].product_id")))
    [found] = (await claim(unit_of_work, KEY)).values()
    assert found is not None
    assert type(found.answer) is refusal
    assert isinstance(found.answer, DomainError)
    assert (str(found.answer), found.answer.field) == ("there is no „Füller“", "items[1].product_id")


async def test_what_is_kept_is_seen_in_its_own_block(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work() as tx:
        await tx.idempotency_keys.claim([KEY])
        await tx.idempotency_keys.add_many([kept()])
        assert await tx.idempotency_keys.claim([KEY]) == {KEY: kept()}


async def test_a_block_that_raises_keeps_nothing_and_gives_its_keys_back(unit_of_work: UnitOfWork) -> None:
    async def fail_after_keeping() -> None:
        async with unit_of_work() as tx:
            await tx.idempotency_keys.claim([KEY])
            await tx.idempotency_keys.add_many([kept()])
            raise LookupError("the shop is on fire")

    with pytest.raises(LookupError, match="on fire"):
        await fail_after_keeping()
    assert await claim(unit_of_work, KEY) == {KEY: None}


async def test_a_batch_finds_each_key_by_itself(unit_of_work: UnitOfWork) -> None:
    hers, his, later = KEY, evolve(KEY, scope="customer 2"), evolve(KEY, value="Monday ")
    refusal = UnknownProduct("there is no product 9")
    await add(unit_of_work, kept(hers), kept(his, answer=refusal))
    found = await claim(unit_of_work, hers, his, later)
    assert found[hers] == kept()
    assert isinstance(found[his].answer, UnknownProduct)  # type: ignore[union-attr]
    assert found[later] is None
    assert len(found) == 3


async def test_a_scope_and_a_key_are_not_one_text(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, kept(IdempotencyKey("a", "b c")))
    assert await claim(unit_of_work, IdempotencyKey("a b", "c")) == {IdempotencyKey("a b", "c"): None}


async def test_the_longest_key_and_every_printable_character_can_be_kept(unit_of_work: UnitOfWork) -> None:
    keys = [IdempotencyKey("s" * 64, "k" * 255), IdempotencyKey("s", "".join(map(chr, range(32, 127))))]
    await add(unit_of_work, *map(kept, keys))
    assert await claim(unit_of_work, *keys) == {key: kept(key) for key in keys}


async def test_a_key_is_never_kept_twice(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, kept())
    with pytest.raises(Aborted):
        await add(unit_of_work, kept(answer=InvalidOrder("another answer")))
    assert await claim(unit_of_work, KEY) == {KEY: kept()}


async def prune(unit_of_work: UnitOfWork, older_than: timedelta, *, limit: int) -> int:
    """In so many steps as it takes, which are returned."""
    steps, last = 0, None
    while steps == 0 or last is not None:
        async with unit_of_work() as tx:
            last = await tx.idempotency_keys.prune(older_than=older_than, after=last, limit=limit)
        steps += 1
    return steps


@pytest.mark.parametrize(("limit", "steps"), [(1, 8), (2, 4), (3, 3), (7, 2), (100, 1)])
async def test_what_is_older_by_the_clock_of_the_database_is_pruned_in_steps_and_nothing_else(
    unit_of_work: UnitOfWork, limit: int, steps: int
) -> None:
    keys = [IdempotencyKey(scope, value) for scope in ("customer 1", "customer 2", "order 7") for value in ("a", "ab")]
    keys.append(IdempotencyKey("customer 1", "Zürich"))
    await add(unit_of_work, *map(kept, keys))
    assert await prune(unit_of_work, A_DAY, limit=limit) == steps
    assert await claim(unit_of_work, *keys) == {key: kept(key) for key in keys}
    await prune(unit_of_work, ANY_AGE, limit=limit)
    assert await claim(unit_of_work, *keys) == dict.fromkeys(keys)


async def test_under_a_key_that_was_pruned_a_response_can_be_stored_anew(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, kept())
    anew = evolve(kept(), fingerprint="e" * 64)
    async with unit_of_work() as tx:
        await tx.idempotency_keys.prune(older_than=ANY_AGE, after=None, limit=10)
        assert await tx.idempotency_keys.claim([KEY]) == {KEY: None}
        await tx.idempotency_keys.add_many([anew])
    await prune(unit_of_work, A_DAY, limit=10)
    assert await claim(unit_of_work, KEY) == {KEY: anew}


async def test_a_request_that_comes_again_after_its_key_was_pruned_gets_its_order_as_it_is(
    unit_of_work: UnitOfWork,
) -> None:
    await keep(unit_of_work, products=[a_product()])
    place_order, number = PlaceOrder(unit_of_work), NumberRequests(uuid7, lambda: NOW)
    request = OrderRequest(UserId(1), (RequestedItem(ProductId(1), 1),))
    other_request = OrderRequest(UserId(1), (RequestedItem(ProductId(1), 2),))
    tuesday = evolve(KEY, value="tuesday")
    [order] = await place_order([number(Keyed(request, KEY, "f"))])
    assert isinstance(order, Order)
    order.cancel(at=LATER)
    async with unit_of_work() as tx:
        await tx.orders.save_many([order])
    await prune(unit_of_work, ANY_AGE, limit=10)

    # What comes with it is done, and another request under the key is refused and leaves the key as it is.
    calls = [Keyed(other_request, KEY, "g"), Keyed(request, tuesday, "f"), request]
    outcomes = await place_order([number(call) for call in calls])
    assert [type(outcome) for outcome in outcomes] == [KeyReused, Order, Order]
    for expected in (order, Replayed(order)):
        assert await place_order([number(Keyed(request, KEY, "f"))]) == [expected]
    async with unit_of_work.reading() as tx:
        assert len(await tx.orders.page(user_id=None, status=None, before=None, limit=10)) == 3


async def test_of_those_who_come_at_once_one_works_and_the_others_wait_or_are_told(unit_of_work: UnitOfWork) -> None:
    worked = in_flight = replayed = 0

    async def ask(number: int) -> None:
        nonlocal worked, in_flight, replayed
        mine = kept(answer=IllegalTransition(f"answer {number}"))
        async with unit_of_work() as tx:
            found = await tx.idempotency_keys.claim([KEY])
            await asyncio.sleep(0)
            if KEY not in found:
                in_flight += 1
            elif found[KEY] is None:
                await tx.idempotency_keys.add_many([mine])
                worked += 1
            else:
                replayed += 1

    for _ in range(3):
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(ask(number))
    assert (worked, in_flight + replayed) == (1, 59)
    # Once nobody is at work, everybody is answered.
    assert replayed >= 20


async def test_whoever_holds_a_key_keeps_nobody_waiting(postgres_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(postgres_engine)
    other = IdempotencyKey("customer 1", "tuesday")
    async with asyncio.timeout(60), unit_of_work() as tx:
        await tx.idempotency_keys.claim([KEY])
        await tx.idempotency_keys.add_many([kept()])
        assert await claim(unit_of_work, KEY, other) == {other: None}
    assert await claim(unit_of_work, KEY, other) == {KEY: kept(), other: None}


async def test_a_key_in_flight_elsewhere_is_told_alone(postgres_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(postgres_engine)
    await keep(unit_of_work, products=[a_product()])
    place_order, number = PlaceOrder(unit_of_work), NumberRequests(uuid7, lambda: NOW)
    request = OrderRequest(UserId(1), (RequestedItem(ProductId(1), 1),))
    tuesday = evolve(KEY, value="tuesday")

    async with asyncio.timeout(60), unit_of_work() as tx:
        await tx.idempotency_keys.claim([KEY])
        calls = [Keyed(request, KEY, "f"), Keyed(request, tuesday, "f"), request]
        outcomes = await place_order([number(call) for call in calls])
    assert [type(outcome) for outcome in outcomes] == [KeyInFlight, Order, Order]

    [afterwards] = await place_order([number(Keyed(request, KEY, "f"))])
    assert isinstance(afterwards, Order)


async def test_without_keys_nothing_is_sent(sql_engine: AsyncEngine) -> None:
    sent: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(sql_engine.sync_engine, "before_cursor_execute", listen)
    unit_of_work = SqlUnitOfWork(sql_engine)
    async with unit_of_work() as tx:
        assert await tx.idempotency_keys.claim([]) == {}
        await tx.idempotency_keys.add_many([])
    assert sent == []


async def test_the_table_itself_refuses_a_second_answer(sql_engine: AsyncEngine) -> None:
    """Also from somebody who has claimed nothing."""
    unit_of_work = SqlUnitOfWork(sql_engine)
    await add(unit_of_work, kept())
    with pytest.raises(Aborted):
        async with unit_of_work() as tx:
            await tx.idempotency_keys.add_many([kept()])


@pytest.mark.parametrize(
    "stored", ["{}", '{"schema":2}', '{"schema":1,"refusal":{"code":"x","message":"","field":null}}']
)
async def test_an_answer_that_is_none_is_found_when_it_is_read(sql_engine: AsyncEngine, stored: str) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    await add(unit_of_work, kept())
    async with sql_engine.begin() as connection:
        await connection.execute(update(idempotency_keys).values(answer=stored))
    with pytest.raises(BrokenRow, match="the answer under the key monday"):
        await claim(unit_of_work, KEY)


async def test_the_statements_are_the_same_for_every_number_of_keys(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    sent: dict[int, set[str]] = {}

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.add(statement)

    event.listen(sql_engine.sync_engine, "before_cursor_execute", listen)
    for size in (1, 7, 300):
        statements: set[str] = set()
        keys = [IdempotencyKey(f"customer {size}", str(UUID(int=number))) for number in range(size)]
        await add(unit_of_work, *map(kept, keys))
        assert len(await claim(unit_of_work, *keys)) == size
        sent[size] = statements
    assert sent[1] == sent[7] == sent[300]
