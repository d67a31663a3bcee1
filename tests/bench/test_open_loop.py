"""The clients that don't wait for the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from attrs import evolve

from bench.open_loop import GIVEN_UP, RESET, Load, open_loop, post

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
LOAD = Load(port=0, rate=lambda _: 100, seconds=0.5, request=lambda n: post("/", str(n).encode()), connections=4)


@asynccontextmanager
async def server(answering: Answering) -> AsyncIterator[Load]:
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await answering(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    async with asyncio.timeout(60), await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield evolve(LOAD, port=listening.sockets[0].getsockname()[1])
        # The clients have gone, so that these end.
        await asyncio.gather(*filter(None, serving))


async def test_every_request_is_sent_once_and_counted_by_its_second() -> None:
    received: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(int(await reader.readexactly(2 if len(received) >= 10 else 1)))
        # In two pieces, as networks do it.
        writer.write(CREATED[:20])
        await writer.drain()
        writer.write(CREATED[20:])

    async with server(answer) as load:
        result = await open_loop(evolve(load, connections=1, rate=lambda t: 50 if t < 1 else 20, seconds=2.0))
    assert received == list(range(70))
    assert [result.between(second, second + 1).by_status() for second in (0, 1)] == [{201: 50}, {201: 20}]
    assert result.good(within=10) == 70
    assert len(result.between(1.0, 2.0).due) == 20


async def test_the_clock_runs_from_when_a_request_was_due() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(CREATED)

    async with server(answer) as load:
        # Four connections and 100 ms for each answer: 40 a second at most, of the 100 that are due.
        result = await open_loop(load)
    assert result.by_status() == {201: 50}
    assert result.percentile(0.0) >= 0.1
    # The last was due after 0.49 s, and the last answer can't have come before 1.25 s.
    assert result.percentile(1.0) > 0.7
    assert result.good(within=0.3) < 30


async def test_looks_are_taken_at_their_moments() -> None:
    received: list[int] = []
    looks: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(int(await reader.read(10)))
        writer.write(CREATED)

    def look() -> None:
        looks.append(len(received))

    async with server(answer) as load:
        await open_loop(evolve(load, rate=lambda t: 400 if t >= 0.5 else 20, seconds=1.0, looks=[(0.5, look)]))
    # Of 10 before it and 200 after it.
    assert len(looks) == 1
    assert looks[0] < 100


async def test_a_client_gives_up_after_its_timeout() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        raise ConnectionResetError

    async with server(never) as load:
        result = await open_loop(evolve(load, timeout=0.2, seconds=0.095))
    assert result.by_status() == {GIVEN_UP: 10}


async def test_a_connection_that_ends_before_its_answer_is_told_from_one_that_says_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = int(await reader.read(10))
        if number % 2:
            writer.write(CREATED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await writer.drain()
            writer.close()
        else:
            writer.transport.abort()

    async with server(answer) as load:
        result = await open_loop(evolve(load, seconds=0.095))
    assert result.by_status() == {201: 5, RESET: 5}


async def test_no_connection_is_opened_when_all_are_closed() -> None:
    accepted: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        with suppress(OSError, EOFError):
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.read(10)
                writer.write(CREATED)
        writer.transport.abort()

    async with asyncio.timeout(60), await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        load = evolve(LOAD, port=listening.sockets[0].getsockname()[1], seconds=0.095)
        result = await open_loop(load)
        # Whatever was begun comes about in as many turns of the loop.
        for _ in range(200):
            await asyncio.sleep(0)
    assert result.by_status() == {201: 10}
    assert len(accepted) == load.connections
