"""Messages are sent over two links, and the second answers first: which answer counts."""

import asyncio

import pytest

from adapters.rabbitmq.link import first_answer
from application.errors import OutcomeUnknown, Unavailable

Outcome = list[bool] | Exception

UNKNOWN, GONE = OutcomeUnknown("no confirm"), Unavailable("gone")


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ([True], [True], [True]),
        ([True], GONE, [True]),
        (GONE, [True], [True]),
        # A queue that is missing, or full, is no answer while the other one may take the messages.
        ([True], [False], [True]),
        ([True, True], [True, False], [True, True]),
        ([False, False], [True, False], [True, False]),
        (GONE, [False], [False]),
        ([False], GONE, [False]),
        (UNKNOWN, GONE, UNKNOWN),
        (GONE, UNKNOWN, UNKNOWN),
    ],
)
async def test_messages_are_confirmed_if_one_of_two_links_confirms_them(
    first: Outcome, second: Outcome, outcome: Outcome
) -> None:
    second_answers = asyncio.Event()

    async def answer_late() -> list[bool]:
        await second_answers.wait()
        return _result(first)

    async def answer() -> list[bool]:
        second_answers.set()
        return _result(second)

    tasks = asyncio.create_task(answer_late()), asyncio.create_task(answer())
    async with asyncio.timeout(60):
        taken = await first_answer(*tasks)
        await asyncio.wait(tasks)
    assert (taken.exception() or taken.result()) == outcome


def _result(outcome: Outcome) -> list[bool]:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
