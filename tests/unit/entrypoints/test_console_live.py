"""An open page is told of changes at most once a second, however many there are, and often enough without any."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from attrs import define, field

from application.access.principal import ANYBODY, Principal, Unauthenticated
from application.errors import Trouble, Unavailable
from application.feed.tail import FellBehind
from entrypoints.http.console.screens.live import _Stream
from tests.simulation.loop import SimulatedLoop

STEPS = 1_000_000


@define
class Feed:
    """A feed with an event every `every` seconds, and what goes wrong with it at times."""

    every: float
    troubles: list[Exception] = field(factory=list)
    is_closed: bool = False
    followed: int = 0
    closed: int = 0

    async def next(self, seconds: float) -> Sequence[Any]:
        await asyncio.sleep(min(self.every, seconds))
        if self.troubles:
            raise self.troubles.pop()
        return [object()]

    def close(self) -> None:
        self.closed += 1


@define
class Kit:
    """What the stream needs of the console."""

    feed: Feed
    denied: bool = False

    @property
    def use_cases(self) -> "Kit":
        return self

    @property
    def feed_tail(self) -> Feed:
        return self.feed

    async def follow_feed(self, _: Principal, *, after: None, only: object) -> Feed:
        self.feed.followed += 1
        return self.feed

    async def caller(self, _: object) -> Principal:
        if self.denied:
            raise Unauthenticated("the key was revoked")
        return ANYBODY


def told(kit: Kit, *, seconds: float) -> list[tuple[float, bytes]]:
    """What a page hears in this time, and when."""
    heard: list[tuple[float, bytes]] = []

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        stream: Any = _Stream(kit, object(), kit.feed).run()  # type: ignore[arg-type]
        async for part in stream:
            heard.append((loop.time(), part))
            if loop.time() >= seconds:
                break
        await stream.aclose()

    SimulatedLoop(Random(7)).run(listen(), max_steps=STEPS)
    return heard


def changes(heard: list[tuple[float, bytes]]) -> list[float]:
    return [at for at, part in heard if part.startswith(b"event: change")]


@pytest.mark.parametrize("every", [0.0, 0.001, 0.3, 0.999, 1.0, 2.5])
def test_there_is_at_most_one_update_a_second(every: float) -> None:
    at = changes(told(Kit(Feed(every)), seconds=30))
    assert len(at) >= 8
    assert min(later - earlier for earlier, later in pairwise(at)) >= 1.0


def test_without_any_change_ages_are_read_anew_every_five_seconds() -> None:
    at = changes(told(Kit(Feed(every=1000.0)), seconds=30))
    assert max(later - earlier for earlier, later in pairwise(at)) <= 5.0


@pytest.mark.parametrize("trouble", [Unavailable("the database is gone"), FellBehind("too much happened")])
def test_what_goes_wrong_makes_updates_no_more_frequent(trouble: Trouble | FellBehind) -> None:
    feed = Feed(0.0, troubles=[trouble] * 10)
    at = changes(told(Kit(feed), seconds=30))
    assert feed.troubles == []
    assert min(later - earlier for earlier, later in pairwise(at)) >= 1.0


def test_a_page_whose_key_was_revoked_is_told_so_and_hears_no_more() -> None:
    kit = Kit(Feed(0.0), denied=True)
    assert [part for _, part in told(kit, seconds=30)][1:] == [b"event: end\ndata:\n\n"]
    assert kit.feed.closed == 1
