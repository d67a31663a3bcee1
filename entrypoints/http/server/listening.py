import asyncio
import errno
import resource
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final

from entrypoints.errors import CannotGoOn

BACKLOG: Final = 2048
# Descriptors for servers, files and the log.
_OTHER_DESCRIPTORS: Final = 256


class CannotListen(CannotGoOn):
    """The server can't listen on the address that it was given."""


class AddressInUse(CannotListen):
    """Another process listens on the address."""


async def listen(host: str, port: int, *, shared: bool = False) -> Sequence[socket.socket]:
    """Listen on every address of the host that this machine has, and on one port. Port 0 takes a free port.

    `::` stands for all addresses, those of IPv4 as well. With `shared`, other processes of this user may listen
    there, too, and the kernel gives each connection to one of them. Raise `AddressInUse` or `CannotListen`.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(f"can't listen on {host}:{port}: {error.strerror or error}") from error
    failures: list[OSError] = []
    with ExitStack() as undone:
        listeners: list[socket.socket] = []
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            # After the first listener, all others take its port.
            taken = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(
                    undone.enter_context(_listener(family, (address[0], taken, *address[2:]), shared=shared))
                )
            except OSError as error:
                failures.append(error)
        _raise_for(failures, f"{host}:{port}", some_work=bool(listeners))
        undone.pop_all()
    return listeners


def room_for_connections() -> int:
    """Return for how many connections this process may have file descriptors, beside its others.

    Without a descriptor the kernel can't say who wants to connect, and the event loop closes whoever comes next. It
    accepts a whole backlog at once, before it calls anybody.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return sys.maxsize
    return descriptors - min(descriptors // 2, BACKLOG + _OTHER_DESCRIPTORS)


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """Accept the connections that the kernel has already established: closing the listener would reset them."""
    accepted: list[socket.socket] = []
    # Any error ends the loop: no more connections, no more descriptors, or a client that is gone.
    with suppress(OSError):
        while True:
            accepted.append(listener.accept()[0])
    return accepted


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family is socket.AF_INET6 else f"http://{host}:{port}"


def _listener(family: socket.AddressFamily, address: Any, *, shared: bool) -> socket.socket:
    is_for_both = family is socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=is_for_both, reuse_port=shared)


def _raise_for(failures: Sequence[OSError], where: str, *, some_work: bool) -> None:
    """A host name may have an address that this machine lacks, such as `localhost` without IPv6."""
    for error in failures:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{where} is in use: stop what listens there, or choose another port") from error
        if not some_work:
            raise CannotListen(f"can't listen on {where}: {error.strerror or error}") from error
