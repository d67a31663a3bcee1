"""The feed over HTTP: pages, and a stream of server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from random import uniform
from typing import Any, Final

import msgspec
from attrs import field, frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly import UseCases
from application.errors import Trouble
from application.feed.read_feed import PositionNotKept
from application.feed.tail import FellBehind, Follower
from application.ports.feed import FeedFilter, Position
from entrypoints.http import examples, query
from entrypoints.http.accept import EVENT_STREAM
from entrypoints.http.bodies import FeedBody, FeedItemBody, FeedResetBody
from entrypoints.http.ids import whole_number_of
from entrypoints.http.query import MOST_SECONDS
from entrypoints.http.refusals import InvalidHeader, in_header
from entrypoints.http.replies import Reply, event_stream, reply
from entrypoints.http.routes.route import Route

_FILTER: Final = {"after": query.position, "types": query.event_types, "order_id": query.order_id}
_PAGE: Final = {**_FILTER, "limit": query.limit, "wait": query.seconds}
_STREAM: Final = {**_FILTER, "max_events": query.max_events}

# Seconds between two comments, which tell the client and what is in between that the connection lives.
QUIET: Final = 10.0
# Milliseconds until a client connects again. When a process stops, its clients come back within some seconds, and not
# all at once.
_RETRY: Final = 2000
_SPREAD: Final = 3000
# A client that is told to read everything anew should not come back at once.
_RETRY_AFTER_RESET: Final = 30_000
# Seconds after which the stream goes on while the database is gone. A browser would give up at a refusal.
_PAUSE: Final = 1.0

_ENCODER: Final = msgspec.json.Encoder()


def events_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
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
        return event_stream(_Stream(follower, self._use_cases, wanted.get("max_events")).run())


@frozen
class _Stream:
    """The events of one client, as server-sent events (HTML, section 9.2). An event's id is its position."""

    _follower: Follower
    _use_cases: UseCases
    _most: int | None
    _first: bytes = field(default=b"retry: %d\n\n" % _RETRY)

    async def run(self) -> AsyncGenerator[bytes, None]:
        left = self._most
        try:
            yield self._first
            while not self._use_cases.feed_tail.is_closed:
                sent = await self._next(left)
                yield sent.text
                if sent.last:
                    return
                left = None if left is None else left - sent.count
            # The process stops.
            yield b"retry: %d\n\n" % int(uniform(_RETRY, _RETRY + _SPREAD))  # noqa: S311 - no secret hangs on it
        finally:
            self._follower.close()

    async def _next(self, left: int | None) -> "_Sent":
        try:
            items = (await self._follower.next(QUIET))[:left]
        except FellBehind:
            return _Sent(
                b": the client was too slow, and can go on after the last event that it has read\n\n", last=True
            )
        except PositionNotKept as error:
            return _Sent(_reset_text(error), last=True)
        except Trouble:
            await asyncio.sleep(_PAUSE)
            return _Sent(b": the database does not answer\n\n")
        if not items:
            return _Sent(b": no events\n\n")
        text = b"".join(
            b"id: %d\nevent: %b\ndata: %b\n\n"
            % (item.position, item.event.type.encode(), _ENCODER.encode(FeedItemBody.of(item)))
            for item in items
        )
        return _Sent(text, count=len(items), last=len(items) == left)


@frozen
class _Sent:
    text: bytes
    count: int = field(default=0, kw_only=True)
    last: bool = field(default=False, kw_only=True)


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
