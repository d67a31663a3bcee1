"""The checks that programs make when they start."""

import gc
import resource
from contextlib import suppress
from typing import Final

import structlog

from application.access.principal import SYSTEM
from application.errors import Trouble
from entrypoints.container import Container
from entrypoints.errors import CannotGoOn
from entrypoints.settings import Settings

_PAGE: Final = 200


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


class NoKey(CannotGoOn):
    """Callers need an API key, and there is none."""


async def expect_keys(container: Container) -> None:
    """Raise `NoKey` if callers need a key and none works: nobody could use the API."""
    settings = container.settings()
    if not settings.keys_required:
        return
    if settings.jwt_issuer:
        # Its tokens are enough.
        return
    # While the database is away, the API starts nevertheless, and takes orders from the callers that it gets to know.
    with suppress(Trouble):
        if not await _is_there_a_key(container):
            raise NoKey(
                "callers need an API key, and there is none that works: make one with"
                " `holdfast keys create --role admin --name NAME`; or set HOLDFAST_AUTH=open, and whoever reaches"
                " the API may do everything"
            )


def tell_of_open_api(settings: Settings) -> None:
    """Warn that callers need no key. Only once the API listens: until then nobody reaches it."""
    if not settings.keys_required:
        where = f"{settings.host}:{settings.port}"
        log = structlog.get_logger("holdfast")
        log.warning("the API is open: whoever reaches it may do everything", address=where, setting="HOLDFAST_AUTH")


async def _is_there_a_key(container: Container) -> bool:
    list_keys, now, last = container.use_cases().list_keys, container.now()(), None
    while page := await list_keys(SYSTEM, after=last, limit=_PAGE):
        if any(key.works(now) for key in page):
            return True
        last = page[-1].id
    return False


async def expect_provider(container: Container) -> None:
    """Raise `Trouble` now, and not with the first charge, if the provider can't be used."""
    await container.provider().ledger.charges(after=None, limit=1)
