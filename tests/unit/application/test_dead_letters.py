import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from attrs import evolve

from adapters.codecs.events import decode, encode
from adapters.memory.broker import MemoryBroker, MemoryDeadLetterQueue
from application.access.principal import ANYBODY, Principal, the_system
from application.errors import OutcomeUnknown
from application.execution.batching import each_alone
from application.messaging.consumer import Consumer
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.messaging.find_dead_letters import GetDeadLetter, ListDeadLetters
from application.messaging.record_dead_letters import NotRecorded, RecordDeadLetters
from application.messaging.subscriptions import PAYMENTS
from domain.dead_letter import (
    DeadLetter,
    DeadMessage,
    ForeignMessage,
    InvalidDecision,
    UnknownDeadLetter,
    UnreadableMessage,
)
from domain.errors import IllegalTransition
from domain.ids import OrderId, PaymentId
from domain.orders.events import Event, PaymentRequested, RefundRequested
from tests.unit.builders import NOW
from tests.unit.provider import Crash
from tests.unit.shop import Shop, types
from tests.unit.unsteady import Trouble


def a_message(body: bytes, *, reason: str = "KeyError: 'surprise'") -> DeadMessage:
    return DeadMessage(body=body, reason=reason, attempts=8, first_at=NOW, last_at=NOW)


async def dead_letters_of(shop: Shop, *dead: Event | bytes) -> list[int]:
    """Record dead letters, and return their ids."""
    async with shop.unit_of_work() as tx:
        bodies = [each if isinstance(each, bytes) else encode(each) for each in dead]
        await tx.dead_letters.record("payments", list(map(a_message, bodies)))
    return [letter.id for letter in await waiting(shop)]


async def waiting(shop: Shop, *, decided: bool = False) -> list[DeadLetter]:
    return await ListDeadLetters(shop.unit_of_work)(ANYBODY, decided=decided, limit=100)


ANA, BEN = the_system("ana"), the_system("ben")
Outcomes = Sequence[DeadLetter | Exception]


async def replay(shop: Shop, ids: Sequence[int], by: Principal = ANA) -> Outcomes:
    return await ReplayDeadLetters(shop.unsteady, shop.clock)(by, ids)


async def discard(shop: Shop, ids: Sequence[int], by: Principal = ANA) -> Outcomes:
    return await DiscardDeadLetters(shop.unsteady, shop.clock)(by, ids)


async def all_ids(shop: Shop) -> list[int]:
    return [letter.id for letter in await waiting(shop)]


async def record(shop: Shop, queue: MemoryDeadLetterQueue) -> None:
    recording = RecordDeadLetters("payments", queue, shop.unsteady, shop.clock)
    async with asyncio.timeout(60):
        await recording.record(await recording.receive())


async def test_dead_letters_come_into_the_table(shop: Shop) -> None:
    queue = MemoryDeadLetterQueue()
    queue.put(a_message(b"poison"))
    await record(shop, queue)
    [letter] = await waiting(shop)
    assert (letter.consumer, letter.message, letter.event) == ("payments", a_message(b"poison"), None)


@pytest.mark.parametrize("trouble", [Trouble(OutcomeUnknown("no answer")), Trouble(Crash(), committed=True)])
async def test_wherever_recording_stops_each_letter_is_there_once(shop: Shop, trouble: Trouble) -> None:
    queue = MemoryDeadLetterQueue()
    queue.put(a_message(b"1"))
    queue.put(a_message(b"2"))
    shop.unsteady.to_come.append(trouble)
    with pytest.raises(type(trouble.error)):
        await record(shop, queue)
    await record(shop, queue)
    assert [(letter.message.body, letter.message.attempts) for letter in await waiting(shop)] == [(b"1", 8), (b"2", 8)]


REFUSED = Trouble(OverflowError("date value out of range"))


async def test_one_that_the_database_refuses_delays_no_other_and_is_stored_with_its_bytes(shop: Shop) -> None:
    queue = MemoryDeadLetterQueue()
    for body in (b"1", b"2", b"3"):
        queue.put(a_message(body))
    # All together, and the second by itself.
    shop.unsteady.to_come.extend([REFUSED, None, REFUSED])
    await record(shop, queue)
    letters = {letter.message.body: letter.message for letter in await waiting(shop)}
    assert letters[b"1"] == a_message(b"1")
    assert letters[b"3"] == a_message(b"3")
    assert letters[b"2"].reason == (
        "KeyError: 'surprise' (its attempts and times can't be stored: OverflowError: date value out of range)"
    )
    assert letters[b"2"].attempts == 1


async def test_one_that_can_not_be_stored_at_all_stays_in_the_queue_and_is_named(shop: Shop) -> None:
    queue = MemoryDeadLetterQueue()
    for body in (b"1", b"2"):
        queue.put(a_message(body))
    shop.unsteady.to_come.extend([REFUSED, REFUSED, None, REFUSED])
    with pytest.raises(NotRecorded, match=a_message(b"1").digest):
        await record(shop, queue)
    assert [letter.message.body for letter in await waiting(shop)] == [b"2"]
    assert [delivery.message.body for delivery in await queue.receive(10)] == [b"1"]


async def test_a_replayed_letter_is_re_enqueued_and_names_who_decided(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    shop.store.outbox.clear()
    [id_] = await dead_letters_of(shop, request)
    [letter] = await replay(shop, [id_])
    assert isinstance(letter, DeadLetter)
    assert (letter.decision, letter.decided_by, letter.decided_at) == ("REPLAYED", "ana", NOW)
    assert [decode(entry.body) for entry in await shop.outbox()] == [request]
    assert await GetDeadLetter(shop.unit_of_work)(ANYBODY, id_) == letter


async def test_a_replay_that_is_rolled_back_did_nothing(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    shop.store.outbox.clear()
    [id_] = await dead_letters_of(shop, request)
    shop.unsteady.to_come.append(Trouble(OutcomeUnknown("no answer")))
    with pytest.raises(OutcomeUnknown):
        await replay(shop, [id_])
    assert await shop.outbox() == []
    assert [letter.id for letter in await waiting(shop)] == [id_]


async def test_a_letter_that_can_not_be_written_keeps_no_other_from_its_replay(shop: Shop) -> None:
    requests = [(await shop.payment_requested((await shop.sells(), 1)))[1] for _ in range(2)]
    shop.store.outbox.clear()
    ids = await dead_letters_of(shop, *requests)
    shop.unsteady.to_come.extend([REFUSED, REFUSED])
    refused, replayed = await replay(shop, ids)
    assert isinstance(refused, OverflowError)
    assert isinstance(replayed, DeadLetter)
    assert [decode(entry.body) for entry in await shop.outbox()] == requests[1:]


async def test_to_replay_everything_twice_changes_nothing(shop: Shop) -> None:
    pen = await shop.sells(stock=10, price=100)
    orders = [await shop.payment_requested((pen, 1)) for _ in range(5)]
    requests = [request for _, request in orders]
    shop.store.outbox.clear()
    await dead_letters_of(shop, *requests)

    assert len(await replay(shop, await all_ids(shop))) == 5
    assert list(await replay(shop, await all_ids(shop), BEN)) == []
    # And once more by another republish.
    brought: Sequence[PaymentRequested] = [*requests, *requests]
    assert await shop.process_payment(brought) == [None] * 10
    assert await shop.process_payment(brought) == [None] * 10

    assert types(await shop.outbox())[:5] == ["payment_requested"] * 5
    assert [(await shop.now(order)).status.value for order, _ in orders] == ["PAID"] * 5
    assert (shop.provider.taken, await shop.stock_of(pen)) == (500, 5)
    assert await shop.findings() == []


@pytest.mark.parametrize("name", ["", "x" * 201])
async def test_a_name_that_can_not_be_kept_decides_nothing(shop: Shop, name: str) -> None:
    [id_] = await dead_letters_of(shop, b"poison")
    [refused] = await discard(shop, [id_], the_system(name))
    assert isinstance(refused, InvalidDecision)
    assert [letter.id for letter in await waiting(shop)] == [id_]


async def test_what_is_decided_stays_decided(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    [id_] = await dead_letters_of(shop, request)
    await discard(shop, [id_])
    shop.clock.forward(timedelta(hours=1))
    shop.store.outbox.clear()
    [refused] = await replay(shop, [id_], BEN)
    assert isinstance(refused, IllegalTransition)
    assert "was DISCARDED by ana" in str(refused)
    assert await shop.outbox() == []
    [letter] = await waiting(shop, decided=True)
    assert (letter.decision, letter.decided_by, letter.decided_at) == ("DISCARDED", "ana", NOW)


async def test_what_can_not_be_replayed_is_refused_alone(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    unreadable, readable = await dead_letters_of(shop, b"not json", request)
    outcomes = await replay(shop, [unreadable, 999, readable])
    assert [type(outcome) for outcome in outcomes] == [UnreadableMessage, UnknownDeadLetter, DeadLetter]
    assert [letter.id for letter in await waiting(shop)] == [unreadable]
    assert [type(outcome) for outcome in await replay(shop, await all_ids(shop))] == [UnreadableMessage]
    assert [type(outcome) for outcome in await discard(shop, await all_ids(shop))] == [DeadLetter]
    assert await waiting(shop) == []


async def test_a_message_that_was_never_an_event_here_is_not_replayed(shop: Shop) -> None:
    """Replayed, it would leave through the outbox as an event of the order, and be one to everybody."""
    order, request = await shop.payment_requested((await shop.sells(), 1))
    shop.store.outbox.clear()
    forged = [
        evolve(request, amount=request.amount * 2),
        evolve(request, payment_id=PaymentId(UUID(int=7))),
        evolve(request, sequence=request.sequence + 1),
        evolve(request, at=request.at + timedelta(seconds=1)),
        evolve(request, order_id=OrderId(UUID(int=404))),
        RefundRequested(
            order_id=order.id, sequence=2, at=request.at, payment_id=request.payment_id, amount=request.amount
        ),
    ]
    outcomes = await replay(shop, await dead_letters_of(shop, *forged))
    assert [type(outcome) for outcome in outcomes] == [ForeignMessage] * len(forged)
    assert await shop.outbox() == []
    assert len(await discard(shop, await all_ids(shop))) == len(forged)


async def test_a_reason_can_not_steer_a_terminal() -> None:
    assert a_message(b"", reason="\x1b[2J\0 é\ud800\n").reason == "\\x1b[2J\\x00 é\\ud800\\n"


async def test_one_poisonous_payment_among_a_thousand_delays_none_and_ends_in_the_table(shop: Shop) -> None:
    pen = await shop.sells(stock=1000)
    orders = [await shop.payment_requested((pen, 1)) for _ in range(1000)]
    unknown, poison = await shop.payment_requested((await shop.sells(), 1))
    del shop.store.orders[unknown.id]
    queue = MemoryBroker().queue(PAYMENTS)
    for _, request in [*orders[:500], (unknown, poison), *orders[500:]]:
        queue.put(request)
    consuming = Consumer(PAYMENTS, queue, partial(each_alone, shop.process_payment), max_batch=256)
    async with asyncio.timeout(60):
        handled = [await consuming.step() for _ in range(4)]
    assert sum(step.done for step in handled) == 1000
    await record(shop, queue.dead_letters)
    assert {order.status.value for order in shop.store.orders.values()} == {"PAID"}
    [letter] = await waiting(shop)
    assert (letter.event, letter.message.attempts) == (poison, 1)
    assert letter.message.reason.startswith("UnknownOrder: ")
