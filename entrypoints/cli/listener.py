"""Forwards the feed of a shop to a program on this machine, as the shop's webhooks would call it.

The place in the feed is kept in a file, and written after each event that was taken. So whatever ends the listener or
the receiver, the next run goes on with the first event that was not.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from itertools import repeat
from pathlib import Path
from secrets import token_bytes
from typing import Final

import httpx
import msgspec
from attrs import define, frozen

from adapters.codecs.plain import plain
from adapters.codecs.standard_webhooks import KEY_BYTES, WebhookSecret
from entrypoints.errors import CannotGoOn

_PAGE: Final = 200
# Seconds that the shop keeps a request open until there is an event.
_WAIT: Final = 10
# Seconds between two attempts; the last stays.
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_NO_SHOP: Final = "this is no answer of a shop"
_NOT_NOW: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

Say = Callable[[str], None]


class ListenerError(CannotGoOn):
    """Trying again would not help."""


class FeedEvent(msgspec.Struct, frozen=True):
    """The fields of an event that are looked at here. The receiver gets the whole event."""

    position: int
    order_id: str
    sequence: int
    type: str
    time: datetime

    @property
    def id(self) -> str:
        return f"{self.order_id}/{self.sequence}"


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: int


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


class _Kept(msgspec.Struct, frozen=True):
    secret: str
    position: int | None = None


_EVENT: Final = msgspec.json.Decoder(FeedEvent)


@define(eq=False)
class Place:
    """The secret and the place of one receiver, in a file that only its owner can read."""

    _path: Path
    _kept: _Kept

    @classmethod
    def open(cls, folder: Path, *names: str) -> "Place":
        """What was kept under these names, or a new secret without a place. Raise `ListenerError`."""
        path = folder / f"listen-{sha256(chr(0).join(names).encode()).hexdigest()[:16]}.json"
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
            WebhookSecret.parse(kept.secret)
        except FileNotFoundError:
            kept = _Kept(WebhookSecret(token_bytes(KEY_BYTES)).told())
        except (msgspec.DecodeError, ValueError) as error:
            raise ListenerError(f"{path} can't be read: {error}; remove it, and give --since") from None
        except OSError as error:
            raise ListenerError(f"{path} can't be read: {error.strerror}") from None
        return cls(path, kept)

    @property
    def secret(self) -> WebhookSecret:
        return WebhookSecret.parse(self._kept.secret)

    @property
    def position(self) -> int | None:
        """The position of the last event that the receiver has taken, or that it was to begin after."""
        return self._kept.position

    def move_to(self, position: int) -> None:
        """Raise `ListenerError`."""
        self._kept = msgspec.structs.replace(self._kept, position=position)
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(msgspec.json.encode(self._kept, enc_hook=plain))
            unfinished.replace(self._path)
        except OSError as error:
            raise ListenerError(f"{self._path} can't be written: {error.strerror}") from None


@frozen
class FeedPage:
    """Some events with their text, the position to go on after, and the newest of all."""

    events: Sequence[tuple[FeedEvent, bytes]]
    next: int
    newest: int

    @classmethod
    def of(cls, answer: httpx.Response) -> "FeedPage":
        """Raise `ListenerError`."""
        try:
            page = msgspec.json.decode(answer.content, type=_Page)
            events = [(_EVENT.decode(text), bytes(text)) for text in page.items]
            return cls(events, page.next, int(answer.headers["Holdfast-Position"]))
        except (msgspec.DecodeError, KeyError, ValueError):
            raise ListenerError(f"{answer.url}: {answer.status_code}: {_NO_SHOP}") from None


@frozen
class RemoteFeed:
    """The feed as `GET /events` of a shop gives it. It is asked until it answers."""

    _http: httpx.Client
    _types: str | None
    _say: Say
    _sleep: Callable[[float], None] = time.sleep

    def newest(self) -> int:
        return self._ask(limit=1).newest

    def begin_after(self, since: datetime) -> int:
        """The position after which the events begin that happened since then."""
        oldest = self._ask(limit=1)
        # Up to `low`, all are older; after `high`, none is.
        low, high = (oldest.events[0][0].position - 1 if oldest.events else oldest.newest), oldest.newest
        while low < high:
            middle = (low + high) // 2
            [(event, _)] = self._ask(after=middle, limit=1).events
            low, high = (middle + 1, high) if event.time < since else (low, middle)
        return low

    def expect(self, after: int) -> None:
        """Raise `ListenerError` for a position that the shop does not go on after."""
        self._ask(after=after, limit=1)

    def page(self, after: int) -> FeedPage:
        """The next events, once there are some."""
        wanted = {} if self._types is None else {"types": self._types}
        return self._ask(after=after, limit=_PAGE, wait=_WAIT, **wanted)

    def _ask(self, **parameters: str | int) -> FeedPage:
        """Raise `ListenerError` for a refusal that stays."""
        for pause in _pauses():
            try:
                answer = self._http.get("/events", params=parameters)
            except httpx.TransportError as error:
                trouble = _in_words(error)
            else:
                if answer.is_success:
                    return FeedPage.of(answer)
                trouble = _refusal(answer)
                if not answer.is_server_error and answer.status_code not in _NOT_NOW:
                    raise ListenerError(f"{answer.url}: {trouble}")
            self._say(f"{self._http.base_url}: {trouble}; trying again in {pause:g} s")
            self._sleep(pause)
        raise AssertionError("there is always another attempt")


@frozen
class Receiver:
    """A program that takes webhooks. It is called until it takes the event, and later events wait."""

    _http: httpx.Client
    _url: str
    _secret: WebhookSecret
    _say: Say
    _sleep: Callable[[float], None] = time.sleep

    def give(self, event: FeedEvent, body: bytes) -> None:
        own = {"holdfast-position": str(event.position), "holdfast-sequence": str(event.sequence)}
        for attempt, pause in enumerate(_pauses(), 1):
            signed = self._secret.headers(event.id, body, at=int(time.time()))
            counted = {"holdfast-attempt": str(attempt), "content-type": "application/json"}
            began = time.monotonic()
            try:
                answer = self._http.post(self._url, content=body, headers=signed | own | counted)
            except httpx.TransportError as error:
                result, taken = _in_words(error), False
            else:
                result, taken = f"{answer.status_code} in {(time.monotonic() - began) * 1000:.0f} ms", answer.is_success
            self._say(f"{event.position:>8}  {event.type:<24} {event.id}  {result}")
            if taken:
                return
            self._say(f"{self._url} has not taken it; trying again in {pause:g} s")
            self._sleep(pause)


def forward(feed: RemoteFeed, receiver: Receiver, place: Place, *, after: int) -> Iterator[bytes]:
    """Give the receiver each event after a position, and yield its text when it was taken. It never ends."""
    while True:
        page = feed.page(after)
        for event, body in page.events:
            receiver.give(event, body)
            place.move_to(event.position)
            yield body
        if page.next > after:
            after = page.next
            place.move_to(after)


def _pauses() -> Iterator[float]:
    yield from _PAUSES
    yield from repeat(_PAUSES[-1])


def _in_words(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _refusal(answer: httpx.Response) -> str:
    with suppress(msgspec.DecodeError):
        problem = msgspec.json.decode(answer.content, type=_Problem)
        return f"{answer.status_code}: {problem.detail or problem.title}"
    return f"{answer.status_code}: {_NO_SHOP}"
