"""The stream that tells an open page that something has changed. The page then reads its parts anew."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from attrs import define, field, frozen
from quart import Request

from application.access.principal import AccessDenied, Principal
from application.access.scopes import Scope
from application.errors import Trouble
from application.feed.read_feed import PositionNotKept
from application.feed.tail import FellBehind, Follower
from application.ports.feed import EVERYTHING
from entrypoints.http.accept import EVENT_STREAM
from entrypoints.http.console.kit import Kit
from entrypoints.http.replies import Reply, event_stream
from entrypoints.http.routes.route import Route
from entrypoints.http.this_request import this_request

# Seconds between two updates, at least; and at most, since ages grow although nothing happens.
_AT_MOST_EVERY: Final = 1.0
_AT_LEAST_EVERY: Final = 5.0
# Milliseconds until a browser connects again.
_RETRY: Final = 3000


def live_screen(kit: Kit) -> list[Route]:
    return [Route("GET", "/console/live", Scope.EVENTS_READ, _Screen(kit).stream, produces=(EVENT_STREAM,))]


@frozen
class _Screen:
    _kit: Kit

    async def stream(self, by: Principal) -> Reply:
        follower = await self._kit.use_cases.follow_feed(by, after=None, only=EVERYTHING)
        here = this_request()
        return event_stream(_Stream(self._kit, here, follower).run())


@define(eq=False)
class _Stream:
    """One browser tab that is looked at. It holds a place of the followers of the feed."""

    _kit: Kit
    _request: Request
    _follower: Follower
    _number: int = field(default=0, init=False)

    async def run(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"retry: %d\n\n" % _RETRY
            while not self._kit.use_cases.feed_tail.is_closed:
                try:
                    by = await self._kit.caller(self._request)
                    await self._change(by)
                except AccessDenied:
                    yield b"event: end\ndata:\n\n"
                    return
                except Trouble:
                    # The page finds out by itself what is unknown.
                    await asyncio.sleep(_AT_MOST_EVERY)
                self._number += 1
                yield b"event: change\ndata: %d\n\n" % self._number
                await asyncio.sleep(_AT_MOST_EVERY)
        finally:
            self._follower.close()

    async def _change(self, by: Principal) -> None:
        """Wait until something has changed, and take what has."""
        try:
            await self._follower.next(_AT_LEAST_EVERY - _AT_MOST_EVERY)
        except (FellBehind, PositionNotKept):
            # More has happened than is looked at here.
            self._follower.close()
            self._follower = await self._kit.use_cases.follow_feed(by, after=None, only=EVERYTHING)
