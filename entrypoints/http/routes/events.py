"""The feed over HTTP: pages, and a stream of server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from random import uniform
from typing import Any, Final

import msgspec
from attrs import define, field, frozen
from quart import Request, request

from adapters.codecs.feed_items import FeedItemBody
from adapters.codecs.plain import plain
from application.access.principal import AccessDenied, Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.errors import Trouble
from application.feed.read_feed import PositionNotKept
from application.feed.tail import FellBehind, Follower
from application.ports.feed import FeedFilter, FeedItem, Position
from entrypoints.http import examples, query
from entrypoints.http.accept import EVENT_STREAM
from entrypoints.http.bodies.events import FeedBody, FeedResetBody
from entrypoints.http.event_texts import EventTexts
from entrypoints.http.ids import whole_number_of
from entrypoints.http.query import MOST_SECONDS
from entrypoints.http.refusals import InvalidHeader, in_header
from entrypoints.http.replies import Reply, event_stream, reply
from entrypoints.http.routes.route import Route
from entrypoints.http.this_request import this_request

_FILTER: Final = {"after": query.position, "types": query.event_types, "order_id": query.order_id}
_PAGE: Final = {**_FILTER, "limit": query.limit, "wait": query.seconds}
_STREAM: Final = {**_FILTER, "max_events": query.max_events}

# Seconds between two comments, which tell the client and what is in between that the connection lives.
QUIET: Final = 10.0
# Seconds for which a look whether the key of the client is still valid counts. The look itself may be up to 4 s behind,
# and a revoked key is dead within 5 s.
_LOOK_AT_KEY: Final = 0.5
# Seconds that a stream waits for events until it looks at the key and at the clock.
_LONGEST_WAIT: Final = 1.25
# Milliseconds until a client connects again. When a process stops, its clients come back within some seconds, and not
# all at once.
_RETRY: Final = 2000
_SPREAD: Final = 3000
# A client that is told to read everything anew should not come back at once.
_RETRY_AFTER_RESET: Final = 30_000
# Seconds after which the stream goes on while the database is gone. A browser would give up at a refusal.
_PAUSE: Final = 1.0

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)


def events_routes(use_cases: UseCases, authenticate: Callable[[Request], Awaitable[Principal]]) -> list[Route]:
    handlers = _Handlers(use_cases, authenticate)
    return [
        Route(
            "GET",
            "/events",
            Scope.EVENTS_READ,
            handlers.page,
            parameters=_PAGE,
            waits=MOST_SECONDS,
            summary="Read the feed of events",
            answers={HTTPStatus.OK: examples.FEED},
            refusals=frozenset({HTTPStatus.GONE}),
        ),
        Route(
            "GET",
            "/events/stream",
            Scope.EVENTS_READ,
            handlers.stream,
            parameters=_STREAM,
            produces=(EVENT_STREAM,),
            summary="Follow the feed of events as a stream",
            answers={HTTPStatus.OK: ...},
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _authenticate: Callable[[Request], Awaitable[Principal]]
    _texts: EventTexts = field(factory=EventTexts, init=False)

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PAGE)
        only, limit = _filter_of(wanted), wanted.get("limit", query.DEFAULT_LIMIT)
        page = await self._use_cases.read_feed(by, after=wanted.get("after"), only=only, limit=limit)
        items, following, newest = page.items, page.next, page.newest
        if not items and following == newest and (seconds := wanted.get("wait")):
            follower = await self._use_cases.follow_feed(by, after=following, only=only)
            try:
                items = (await follower.next(seconds))[:limit]
            finally:
                follower.close()
            following = items[-1].position if items else follower.position
            newest = max(newest, follower.position)
        body = FeedBody([FeedItemBody.of(item) for item in items], following)
        return reply(body, HTTPStatus.OK, ("Holdfast-Position", str(newest)))

    async def stream(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _STREAM)
        last = request.headers.get("Last-Event-ID")
        # A browser that connects again sends the address of its first request, and this header.
        after = wanted.get("after") if last is None else _position_in(last)
        try:
            follower = await self._use_cases.follow_feed(by, after=after, only=_filter_of(wanted))
        except PositionNotKept as error:
            return event_stream(None if request.method == "HEAD" else _reset(error))
        if request.method == "HEAD":
            follower.close()
            return event_stream(None)
        here = this_request()
        let_in = partial(self._authenticate, here)
        return event_stream(_Stream(follower, let_in, self._use_cases, self._texts, wanted.get("max_events")).run())


def _time() -> float:
    return asyncio.get_running_loop().time()


@define(eq=False)
class _Stream:
    """The events of one client, as server-sent events."""

    _follower: Follower
    _let_in: Callable[[], Awaitable[Principal]]
    _use_cases: UseCases
    _texts: EventTexts
    # How many events are left until the end that the client has asked for, if it has.
    _left: int | None
    # Whether the client has been told why the stream ends.
    _ended: bool = field(default=False, init=False)
    _sent_at: float = field(factory=_time, init=False)
    _looked_at: float = field(factory=_time, init=False)

    async def run(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"retry: %d\n\n" % _RETRY
            while not self._ended and not self._use_cases.feed_tail.is_closed:
                if text := await self._next():
                    self._sent_at = _time()
                    yield text
            if not self._ended:
                # The process stops.
                yield b"retry: %d\n\n" % int(uniform(_RETRY, _RETRY + _SPREAD))  # noqa: S311 - no secret hangs on it
        finally:
            self._follower.close()

    async def _next(self) -> bytes:
        """What is to be sent next, if anything."""
        try:
            items = (await self._follower.next(_LONGEST_WAIT))[: self._left]
        except FellBehind:
            return self._end(b": the client was too slow, and can go on after the last event that it has read\n\n")
        except PositionNotKept as error:
            return self._end(_reset_text(error))
        except Trouble:
            await asyncio.sleep(_PAUSE)
            return b": the database does not answer\n\n"
        # After the wait, in which the key may have been revoked.
        if _time() - self._looked_at >= _LOOK_AT_KEY and (why := await self._why_not_let_in()):
            return self._end(why)
        return self._text_of(items)

    async def _why_not_let_in(self) -> bytes:
        """A stream may last longer than the key that it was opened with. It ends where a request would be refused."""
        self._looked_at = _time()
        try:
            (await self._let_in()).expect(Scope.EVENTS_READ)
        except AccessDenied:
            return b": the key is not valid any more\n\n"
        except Trouble:
            # A known key works on without the database, for as long as `Authenticate` believes it.
            return b": the key could not be looked up for too long\n\n"
        return b""

    def _text_of(self, items: Sequence[FeedItem]) -> bytes:
        if not items:
            return b": no events\n\n" if _time() - self._sent_at >= QUIET - _LONGEST_WAIT else b""
        if self._left is not None:
            self._left -= len(items)
            self._ended = not self._left
        return b"".join(map(self._texts.of, items))

    def _end(self, text: bytes) -> bytes:
        self._ended = True
        return text


async def _reset(error: PositionNotKept) -> AsyncGenerator[bytes, None]:
    yield _reset_text(error)


def _reset_text(error: PositionNotKept) -> bytes:
    # It has no id: a client that does not know this event comes back with its old position, and skips nothing.
    body = FeedResetBody(oldest=error.bounds.oldest, newest=error.bounds.newest, detail=str(error))
    return b"retry: %d\nevent: reset\ndata: %b\n\n" % (_RETRY_AFTER_RESET, _ENCODER.encode(body))


def _filter_of(wanted: Mapping[str, Any]) -> FeedFilter:
    return FeedFilter(types=wanted.get("types"), order_id=wanted.get("order_id"))


def _position_in(last_event_id: str) -> Position:
    number = whole_number_of(last_event_id)
    if number is None:
        raise InvalidHeader(in_header("Last-Event-ID", "it is the id of an event of this stream: a whole number"))
    return Position(number)
