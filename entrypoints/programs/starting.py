"""The checks that programs make when they start."""

import gc
import resource
from contextlib import suppress

import structlog

from entrypoints.container import Container


def freeze_objects() -> None:
    """All objects made so far stay for good: the garbage collector need not look through them again and again.

    Called when everything is opened and imported, right before a program begins its work.
    """
    gc.collect()
    gc.freeze()


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as the system lets this process have: each connection needs one.

    The soft limit is 1,024 on most systems, for the sake of programs that use select().
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems refuse a limit that they themselves give.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def tell_of_servers(container: Container) -> None:
    """Log for each server whether it works."""
    log = structlog.get_logger("holdfast")
    for server in await container.check_health()():
        if server.works:
            log.info("server works", server=server.name, version=server.version)
        else:
            log.warning("server does not work", server=server.name, problem=server.problem)


async def expect_provider(container: Container) -> None:
    """Raise `Trouble` now, and not with the first charge, if the provider can't be used."""
    await container.provider().ledger.charges(after=None, limit=1)
