"""Connections that wait for their clients leave room for honest ones."""

import asyncio
import resource
from contextlib import AsyncExitStack

import pytest
from attrs import evolve

from entrypoints.http.server.listening import room_for_connections
from entrypoints.programs.starting import raise_descriptor_limit
from tests.http.browser import app_over
from tests.integration.test_http_framing import SlowOrder
from tests.sockets import GET_LIVE, GET_ORDER, ORDER, POST, Connection, a_post, running
from tests.unit.shop import Shop

MOST = 6
IDLE = [b"", GET_LIVE]
SLOW = [GET_LIVE[:10], POST, POST + b"Content-Length: 1000\r\n\r\n{", GET_LIVE + POST]


@pytest.mark.parametrize("content", [*IDLE, *SLOW])
async def test_idle_and_slow_clients_keep_nobody_out(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    await shop.sells()
    async with AsyncExitStack() as stack, running(app_over(shop.use_cases), max_connections=MOST) as site:
        for _ in range(3 * MOST):
            connection = await stack.enter_async_context(site.connection())
            if content:
                await connection.send(content)
            if content.startswith(GET_LIVE):
                assert (await connection.answer()).status == 200
        for _ in range(10):
            honest = await stack.enter_async_context(site.connection())
            await honest.send(a_post(ORDER))
            assert (await honest.answer()).status == 201
        async with asyncio.timeout(60):
            while not caplog.records:  # noqa: ASYNC110 - the log of the server, which sets no event
                await asyncio.sleep(0.05)
    assert "connections, idle or slow to send, since there are more than 6" in caplog.text


async def test_a_client_that_waits_for_its_response_is_not_the_one_to_leave() -> None:
    shop, slow = Shop(), SlowOrder()
    slow.orders.append(await shop.order((await shop.sells(), 1)))
    app = app_over(evolve(shop.use_cases, get_order=slow), request_timeout=3600)
    async with AsyncExitStack() as stack, running(app, max_connections=20) as site:

        async def connect(content: bytes) -> Connection:
            connection = await stack.enter_async_context(site.connection())
            await connection.send(content)
            return connection

        waiting = [await connect(content) for content in (GET_ORDER, GET_ORDER + POST, GET_ORDER * 2) * 5]
        await slow.asked.wait()
        # A round trip on another connection shows that the server has read these.
        probe = await connect(GET_LIVE)
        assert (await probe.answer()).status == 200
        idle = [await connect(b"") for _ in range(40)]
        # The last ones to come are there still.
        await idle[-1].send(GET_LIVE)
        assert (await idle[-1].answer()).status == 200
        slow.may_answer.set()
        assert [(await each.answer()).status for each in waiting] == [200] * len(waiting)


async def test_a_client_in_the_middle_of_its_request_is_told_that_nothing_was_done() -> None:
    async with AsyncExitStack() as stack, running(app_over(Shop().use_cases), max_connections=2) as site:
        slow = await stack.enter_async_context(site.connection())
        await slow.send(POST)
        # A round trip on another connection shows that the server has read this one.
        probe = await stack.enter_async_context(site.connection())
        await probe.send(GET_LIVE)
        await probe.answer()
        other = await stack.enter_async_context(site.connection())
        answer = await slow.answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (503, "overloaded", "close")
        assert await slow.is_closed()
        await other.send(GET_LIVE)
        assert (await other.answer()).status == 200


def test_a_process_takes_all_descriptors_that_it_may_have() -> None:
    soft, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        few = room_for_connections()
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert few <= room_for_connections() < hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
