"""The server listens on every address that the host stands for, and on one port."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

import pytest
from quart import Quart, Request

from application.access.principal import ANYBODY, Principal
from entrypoints.http.server.listening import AddressInUse, CannotListen, listen
from entrypoints.http.server.server import serve
from tests.http.browser import app_over
from tests.sockets import GET_LIVE
from tests.unit.shop import Shop


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def app() -> Quart:
    return app_over(Shop().use_cases)


EVERY = ("127.0.0.1", "127.0.0.2", "::1")


async def answering(app: Quart, host: str, at: Sequence[str] = EVERY, get: bytes = GET_LIVE) -> set[str]:
    """The addresses at which a server for the host answers, on its one port."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(app, host=host, port=0, shutdown_timeout=5, on_started=started.set_result, stop=stop)
    )
    async with asyncio.timeout(60):
        port = int((await started).rpartition(":")[2])
        found = {address for address in at if await answers(address, port, get)}
        stop.set()
        await serving
    assert not await answers("127.0.0.1", port)
    return found


async def answers(address: str, port: int, get: bytes = GET_LIVE) -> bool:
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.write(get)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head.startswith(b"HTTP/1.1 200 ")


@needs_ipv6
async def test_a_client_of_ipv4_has_its_address_also_where_one_socket_is_for_both() -> None:
    """Whom networks let in, and whose guesses are counted, is said by addresses."""
    seen: list[str | None] = []

    async def authenticate(request: Request) -> Principal:
        seen.append(request.remote_addr)
        return ANYBODY

    app = app_over(Shop().use_cases, authenticate=authenticate)
    get = GET_LIVE.replace(b"/health/live", b"/products")
    for host, address in (("::", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1")):
        await answering(app, host, [address], get)
        assert seen.pop() == address
    assert seen == []


@needs_ipv6
async def test_all_addresses_are_those_of_ipv4_and_ipv6(app: Quart) -> None:
    for spelling in ("::", "0::0"):
        assert await answering(app, spelling) == {"127.0.0.1", "127.0.0.2", "::1"}


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("0.0.0.0", {"127.0.0.1", "127.0.0.2"}),
        ("127.0.0.1", {"127.0.0.1"}),
        pytest.param("::1", {"::1"}, marks=needs_ipv6),
    ],
)
async def test_one_address_is_one_address(app: Quart, host: str, addresses: set[str]) -> None:
    assert await answering(app, host) == addresses


async def test_a_name_stands_for_all_its_addresses(app: Quart) -> None:
    loop = asyncio.get_running_loop()
    named = {found[4][0] for found in await loop.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    expected = {str(address) for address in named if address != "::1" or has_ipv6()}
    assert await answering(app, "localhost") == expected


@needs_ipv6
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
async def test_a_port_that_is_in_use_on_one_of_the_addresses_is_in_use(taken: str) -> None:
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.create_server((taken, 0), family=family) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressInUse, match=f":{port} is in use"):
            await listen("::", port)
    # What the attempt had bound is free again.
    for listener in await listen("::", port):
        listener.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(CannotListen, match=f"can't listen on {host}:0"):
        await listen(host, 0)
