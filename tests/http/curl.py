"""Commands as the documents of other systems have them, sent to the interface without a network."""

import asyncio
import shlex
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from domain.orders.events import PaymentRequested
from tests.http.browser import Answer, Browser
from tests.unit.shop import Shop

_OPTIONS: Final = ArgumentParser()
_OPTIONS.add_argument("-X", dest="method", default=None)
_OPTIONS.add_argument("-H", dest="headers", action="append", default=[])
_OPTIONS.add_argument("-d", dest="body", default=None)
_OPTIONS.add_argument("url")


@frozen
class Curl:
    """Understands the options of curl that those documents use. A client moves here by its base URL, `moved_to`."""

    _browser: Browser
    _moved_to: str

    async def __call__(self, command: str, **values: object) -> Answer:
        """Send a command, in which each `$name` stands for one of the values."""
        program, *arguments = shlex.split(command)
        assert program == "curl"
        given = _OPTIONS.parse_args(arguments)
        path, body = urlsplit(given.url).path, given.body
        for name, value in values.items():
            path = path.replace(f"${name}", str(value))
            body = body and body.replace(f"${name}", str(value))
            given.headers = [header.replace(f"${name}", str(value)) for header in given.headers]
        headers = [tuple(header.split(": ", 1)) for header in given.headers]
        return await self._browser.send(
            given.method or ("GET" if body is None else "POST"),
            self._moved_to + path,
            (body or "").encode(),
            # What curl itself sends with a body of which nothing else is said.
            content_type=None if body is None or given.headers else "application/x-www-form-urlencoded",
            more=[(name, value) for name, value in headers],
        )


@asynccontextmanager
async def at_work(shop: Shop) -> AsyncIterator[None]:
    """A worker that processes payments while clients wait for them."""

    async def work() -> None:
        while True:
            await shop.process_payment([e for e in shop.store.events.values() if isinstance(e, PaymentRequested)])
            await asyncio.sleep(0.005)

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])
        if not working.cancelled():
            working.result()
