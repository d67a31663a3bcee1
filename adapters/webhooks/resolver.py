import asyncio
import socket
from asyncio import Future, Semaphore
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Final

from attrs import define, field

from application.webhooks.destinations import Address

# Every address of a host. It raises `OSError` when there is none.
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

# Lookups at once. One whose name servers don't answer takes half a minute.
_LOOKUPS: Final = 64


@define
class SystemResolver:
    """Looks names up as the system does.

    A lookup can't be broken off. It runs in a thread of its own, so that it keeps neither what else the process does in
    threads waiting, nor the process from ending.
    """

    _free: Semaphore = field(factory=lambda: Semaphore(_LOOKUPS), init=False)

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        await self._free.acquire()
        found: Future[Sequence[Address]] = asyncio.get_running_loop().create_future()
        # The place is taken until the thread ends, which may be long after nobody waits for it any more.
        Thread(target=self._look_up, args=(host, port, found), name="webhook-dns", daemon=True).start()
        return await found

    def _look_up(self, host: str, port: int, found: "Future[Sequence[Address]]") -> None:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result: Sequence[Address] | OSError = list(dict.fromkeys(ip_address(end[0]) for *_, end in addresses))
        except (OSError, UnicodeError) as error:
            result = error if isinstance(error, OSError) else OSError(str(error))
        # The program has ended meanwhile when its loop is closed.
        with suppress(RuntimeError):
            found.get_loop().call_soon_threadsafe(self._tell, found, result)

    def _tell(self, found: "Future[Sequence[Address]]", result: Sequence[Address] | OSError) -> None:
        self._free.release()
        if found.done():
            return
        if isinstance(result, OSError):
            found.set_exception(result)
        else:
            found.set_result(result)
