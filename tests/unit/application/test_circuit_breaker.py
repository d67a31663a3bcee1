import asyncio
from typing import Any

import pytest
from attrs import define, field

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.idempotency import KeyInFlight
from application.execution.retry_conflicts import Retrying
from domain.errors import InvalidOrder


@define(eq=False)
class Server:
    """A server that does what the test has set last: raise an error, not answer, or answer."""

    trouble: Any = None
    asked: list[int] = field(factory=list)

    async def __call__(self, call: int) -> int:
        self.asked.append(call)
        if self.trouble is asyncio.Event:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble
        return call


GONE = Unavailable("gone")


def breaker_of(server: Server) -> CircuitBreaker[int, int]:
    return CircuitBreaker(server, seconds=0.05, pause=0.2)


@pytest.mark.parametrize("trouble", [GONE, asyncio.Event])
async def test_a_dead_server_is_asked_once_in_a_while(trouble: Any) -> None:
    server = Server(trouble)
    ask = breaker_of(server)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() < begun + 0.9:
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await ask(1)
        await asyncio.sleep(0.005)
    assert 2 <= len(server.asked) <= 6


async def test_it_is_used_again_once_it_answers() -> None:
    server = Server(GONE)
    ask = breaker_of(server)
    with pytest.raises(Unavailable):
        await ask(1)
    server.trouble = None
    async with asyncio.timeout(60):
        while True:
            try:
                assert await ask(2) == 2
                break
            except Unavailable:
                await asyncio.sleep(0.01)
    assert await asyncio.gather(*map(ask, range(50))) == list(range(50))


async def test_while_one_call_tests_the_server_the_others_are_refused_at_once() -> None:
    server = Server(asyncio.Event)
    ask = breaker_of(server)
    with pytest.raises(OutcomeUnknown):
        await ask(1)
    await asyncio.sleep(0.25)
    outcomes = await asyncio.gather(*map(ask, range(2, 12)), return_exceptions=True)
    # Only the call that tested the server may have reached it; the others were not sent.
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, *[Unavailable] * 9]
    assert server.asked == [1, 2]


async def test_a_client_that_hangs_up_while_it_looks_does_not_keep_the_way_closed() -> None:
    server = Server(asyncio.Event)
    ask = breaker_of(server)
    with pytest.raises(OutcomeUnknown):
        await ask(1)
    await asyncio.sleep(0.25)
    looking = asyncio.ensure_future(ask(2))
    await asyncio.sleep(0.01)
    looking.cancel()
    server.trouble = None
    await asyncio.sleep(0.25)
    assert await ask(3) == 3


@pytest.mark.parametrize("error", [InvalidOrder("no"), Aborted("deadlock"), Overloaded("too much"), ValueError("bug")])
async def test_an_error_that_is_an_answer_is_passed_on_and_closes_nothing(error: Exception) -> None:
    server = Server(error)
    ask = breaker_of(server)
    for _ in range(3):
        with pytest.raises(type(error)):
            await ask(1)
    assert len(server.asked) == 3


async def test_the_deadline_of_the_caller_is_not_taken_for_the_servers_fault() -> None:
    server = Server(asyncio.Event)
    ask = CircuitBreaker(server, seconds=30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await ask(1)
    server.trouble = None
    assert await ask(2) == 2


async def test_a_call_is_retried_until_the_other_one_has_finished() -> None:
    troubles: list[Exception] = [KeyInFlight("at work"), Aborted("a deadlock")]

    async def work(call: int) -> int:
        if troubles:
            raise troubles.pop(0)
        return call

    assert await Retrying(work, pause=0)(1) == 1


async def test_another_call_that_never_finishes_does_not_open_the_breaker() -> None:
    stuck, server = Aborted("another call is in progress"), Server()

    async def work(call: int) -> int:
        if call == 0:
            raise stuck
        return await server(call)

    ask = CircuitBreaker(Retrying(work, seconds=0.05, pause=0.01), seconds=5, pause=5)
    with pytest.raises(Aborted):
        await ask(0)
    assert await ask(1) == 1
