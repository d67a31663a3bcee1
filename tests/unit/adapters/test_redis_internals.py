"""What adapters/redis/connections.py knows of the inside of redis.

A new version that fails here is not to be used before that file has been looked at again.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Connection

from adapters.redis.connections import _closed
from tests.cables import PATIENCE


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """Open, to a server that agrees with everything."""

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"*"):
                writer.write(b"+OK\r\n")
        writer.close()

    async with asyncio.timeout(PATIENCE), await asyncio.start_server(agree, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        connection = Connection(host=host, port=port, protocol=2)
        await connection.connect()
        yield connection
        await connection.disconnect(nowait=True)


async def test_an_open_connection_has_a_writer_and_a_closed_one_has_none(connection: Connection) -> None:
    assert isinstance(connection._writer, asyncio.StreamWriter)  # noqa: SLF001 - what this file is about
    await connection.disconnect(nowait=True)
    assert connection._writer is None  # noqa: SLF001 - as above


async def test_a_connection_is_closed_at_once(connection: Connection) -> None:
    writer = connection._writer  # noqa: SLF001 - as above
    await _closed(connection)
    assert writer.transport.is_closing()
    assert not connection.is_connected
