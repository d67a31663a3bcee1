"""What could not be processed: one suite for memory, SQLite and PostgreSQL."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from adapters.codecs.events import encode
from adapters.memory.broker import MemoryDeadLetterQueue
from application.errors import Aborted
from application.messaging.record_dead_letters import RecordDeadLetters
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadLetter, DeadMessage, Decision
from domain.dead_letter_groups import cause_in
from tests.brokers import payment_requested
from tests.unit.builders import LATER, NOW

EVENT = payment_requested()


def message(body: bytes = encode(EVENT), *, at: datetime = NOW, attempts: int = 3, reason: str = "bad") -> DeadMessage:
    return DeadMessage(body=body, reason=reason, attempts=attempts, first_at=at, last_at=at)


async def record(unit_of_work: UnitOfWork, *messages: DeadMessage, consumer: str = "payments") -> None:
    async with unit_of_work() as tx:
        await tx.dead_letters.record(consumer, messages)


async def letters(unit_of_work: UnitOfWork, *, decided: bool = False) -> list[DeadLetter]:
    async with unit_of_work.reading() as tx:
        return await tx.dead_letters.page(decided=decided, after=None, limit=1000)


async def discard(unit_of_work: UnitOfWork, *ids: int) -> None:
    async with unit_of_work() as tx:
        found = await tx.dead_letters.get_many(ids, lock=True)
        for letter in found.values():
            letter.discard(by="ana", at=LATER)
        await tx.dead_letters.save_many(list(found.values()))


async def test_a_letter_is_read_as_it_came(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message())
    [letter] = await letters(unit_of_work)
    assert (letter.consumer, letter.message, letter.event) == ("payments", message(), EVENT)
    assert (letter.decision, letter.decided_by, letter.decided_at) == (None, None, None)
    async with unit_of_work.reading() as tx:
        assert await tx.dead_letters.get_many({letter.id, 999}) == {letter.id: letter}
        assert await tx.dead_letters.get_many(()) == {}


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe not json", b"x" * 1_000_000, b'{"type":"\\ud800"}'])
async def test_what_nobody_can_read_is_kept_to_the_byte(unit_of_work: UnitOfWork, body: bytes) -> None:
    await record(unit_of_work, message(body, reason="BadMessage: \0\ud800" + "x" * 5000))
    [letter] = await letters(unit_of_work)
    assert (letter.message.body, letter.event) == (body, None)
    assert letter.message.reason.startswith("BadMessage: ")


REFUSED = {
    "a time after all others": {"last_at": datetime.fromisoformat("9999-12-31T23:59:59-14:00")},
    "a time before all others": {"first_at": datetime.fromisoformat("0001-01-01T00:00:00+14:00")},
    "a time without a zone": {"first_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is the example
    "an attempt above all others": {"attempts": 2**70},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
async def test_a_value_that_a_database_refuses_keeps_no_letter_out(
    unit_of_work: UnitOfWork, values: dict[str, Any]
) -> None:
    queue = MemoryDeadLetterQueue()
    sent = [message(b"1"), evolve(message(b"2"), **values), message(b"3")]
    for each in sent:
        queue.put(each)
    recording = RecordDeadLetters("payments", queue, unit_of_work, lambda: LATER)
    await recording.record(await recording.receive())
    found = await letters(unit_of_work)
    assert sorted(letter.message.body for letter in found) == [b"1", b"2", b"3"]
    assert {letter.message for letter in found} >= {sent[0], sent[2]}


async def test_one_that_is_brought_twice_is_one(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message())
    await record(unit_of_work, message(), message())
    assert [letter.message for letter in await letters(unit_of_work)] == [message()]


async def test_one_that_comes_again_later_is_the_same_letter_tried_more_often(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message(attempts=3, reason="first"))
    await record(unit_of_work, message(attempts=8, reason="second", at=LATER))
    [letter] = await letters(unit_of_work)
    assert (letter.message.attempts, letter.message.reason) == (11, "second")
    assert (letter.message.first_at, letter.message.last_at) == (NOW, LATER)


async def test_each_consumer_has_letters_of_its_own(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message(), consumer="payments")
    await record(unit_of_work, message(), consumer="refunds")
    assert [letter.consumer for letter in await letters(unit_of_work)] == ["payments", "refunds"]


async def test_a_decision_is_kept_and_the_letter_waits_no_more(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message(b"1"), message(b"2"))
    first, second = await letters(unit_of_work)
    await discard(unit_of_work, first.id)
    assert await letters(unit_of_work) == [second]
    [decided, _] = await letters(unit_of_work, decided=True)
    assert (decided.decision, decided.decided_by, decided.decided_at) == (Decision.DISCARDED, "ana", LATER)


async def test_one_that_comes_again_after_a_decision_is_a_new_letter(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message())
    [letter] = await letters(unit_of_work)
    await discard(unit_of_work, letter.id)
    await record(unit_of_work, message(at=LATER + timedelta(minutes=1)))
    [again] = await letters(unit_of_work)
    assert again.id > letter.id
    assert len(await letters(unit_of_work, decided=True)) == 2


async def test_a_page_ends_where_it_should_and_the_next_goes_on(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, *(message(bytes([number])) for number in range(5)))
    found: list[DeadLetter] = []
    async with unit_of_work.reading() as tx:
        while page := await tx.dead_letters.page(decided=False, after=found[-1].id if found else None, limit=2):
            assert len(page) <= 2
            found += page
    assert sorted(letter.message.body for letter in found) == [bytes([number]) for number in range(5)]


async def test_what_is_rolled_back_was_never_recorded(unit_of_work: UnitOfWork) -> None:
    async def change_ones_mind() -> None:
        async with unit_of_work() as tx:
            await tx.dead_letters.record("payments", [message()])
            raise Aborted("not now")

    with pytest.raises(Aborted):
        await change_ones_mind()
    assert await letters(unit_of_work, decided=True) == []


async def test_many_who_record_the_same_at_once_record_one_of_each(unit_of_work: UnitOfWork) -> None:
    bodies = [bytes([number]) for number in range(10)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(record(unit_of_work, *map(message, bodies[::step])) for step in (1, -1) * 5))
    found = await letters(unit_of_work)
    assert sorted(letter.message.body for letter in found) == bodies
    assert {letter.message.attempts for letter in found} == {3}


async def test_summaries_are_the_same_page_without_messages(unit_of_work: UnitOfWork) -> None:
    await record(unit_of_work, message(b"1", reason="KeyError in a.b: " + "x" * 1000), message(b"2"))
    first, second = await letters(unit_of_work)
    async with unit_of_work.reading() as tx:
        found = await tx.dead_letters.summaries(decided=False, after=None, limit=10)
        assert await tx.dead_letters.summaries(decided=False, after=None, limit=1) == found[:1]
        assert await tx.dead_letters.summaries(decided=False, after=first.id, limit=10) == found[1:]
    assert [(each.id, each.consumer, each.last_at) for each in found] == [
        (letter.id, "payments", NOW) for letter in (first, second)
    ]
    assert [each.cause for each in found] == [cause_in("payments", each.message.reason) for each in (first, second)]
    assert [len(each.reason) < 400 for each in found] == [True, True]
    await discard(unit_of_work, first.id)
    async with unit_of_work.reading() as tx:
        assert [each.id for each in await tx.dead_letters.summaries(decided=False, after=None, limit=9)] == [second.id]
        both = await tx.dead_letters.summaries(decided=True, after=None, limit=9)
    assert [each.id for each in both] == [first.id, second.id]


async def test_a_message_that_was_replayed_and_waits_again_has_failed_again(unit_of_work: UnitOfWork) -> None:
    for each in (message(), message(b"2"), message(b"3")):
        await record(unit_of_work, each)
    replayed, discarded, _ = await letters(unit_of_work)
    async with unit_of_work() as tx:
        found = await tx.dead_letters.get_many({replayed.id}, lock=True)
        found[replayed.id].replay(by="ana", at=LATER, history=[EVENT])
        await tx.dead_letters.save_many(list(found.values()))
    await discard(unit_of_work, discarded.id)
    again = LATER + timedelta(minutes=1)
    await record(unit_of_work, message(at=again), message(b"2", at=again))
    await record(unit_of_work, message(at=again), consumer="refunds")
    async with unit_of_work.reading() as tx:
        summaries = await tx.dead_letters.summaries(decided=False, after=None, limit=9)
        waiting = await tx.dead_letters.get_many({each.id for each in summaries})
    assert {(waiting[each.id].consumer, waiting[each.id].message.body): each.failed_again for each in summaries} == {
        ("payments", b"3"): False,
        ("payments", message().body): True,
        ("payments", b"2"): False,
        ("refunds", message().body): False,
    }
