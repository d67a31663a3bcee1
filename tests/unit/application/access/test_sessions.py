"""The sessions of the console, in processes that share one database."""

from datetime import timedelta

import pytest
from attrs import define, field

from application.access.sessions import ConsoleSessions, FindEndedSessions, RecordEndedSessions
from application.errors import Unavailable
from application.ports.sessions import Session
from tests.unit.builders import NOW
from tests.unit.shop import Shop

SESSION = Session("a" * 64, NOW + timedelta(hours=12))
HOUR = 3600.0


@define(eq=False)
class Process:
    """One API process, and whether it reaches the database."""

    shop: Shop
    seconds: float = 0.0
    away: bool = False
    most: int = 10_000
    sessions: ConsoleSessions = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.sessions = ConsoleSessions(self._find, self._record, time=lambda: self.seconds, most=self.most)

    async def _find(self, id_: str) -> bool:
        self._reach()
        [ended] = await FindEndedSessions(self.shop.unit_of_work)([id_])
        return ended

    async def _record(self, session: Session) -> None:
        self._reach()
        await RecordEndedSessions(self.shop.unit_of_work)([session])

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("the database can't be reached")


async def test_a_session_that_is_ended_is_over_in_every_process_at_once(shop: Shop) -> None:
    here, there = Process(shop), Process(shop)
    for each in (here, there):
        assert await each.sessions.is_open(SESSION)
    await here.sessions.end(SESSION)
    for each in (here, there, Process(shop)):
        assert not await each.sessions.is_open(SESSION)
        assert await each.sessions.is_open(Session("b" * 64, SESSION.until))


async def test_without_the_database_what_was_open_here_lately_is_believed_for_an_hour(shop: Shop) -> None:
    knows, stranger = Process(shop), Process(shop, away=True)
    assert await knows.sessions.is_open(SESSION)
    knows.away, knows.seconds = True, HOUR
    assert await knows.sessions.is_open(SESSION)
    knows.seconds += 1
    for each in (knows, stranger):
        with pytest.raises(Unavailable):
            await each.sessions.is_open(SESSION)
    knows.away = False
    assert await knows.sessions.is_open(SESSION)


async def test_without_the_database_what_was_begun_here_is_open(shop: Shop) -> None:
    process = Process(shop, away=True)
    process.sessions.begin(SESSION)
    assert await process.sessions.is_open(SESSION)


async def test_without_the_database_it_is_ended_in_this_process_and_who_ends_it_is_told(shop: Shop) -> None:
    process = Process(shop)
    assert await process.sessions.is_open(SESSION)
    process.away = True
    with pytest.raises(Unavailable):
        await process.sessions.end(SESSION)
    for away in (True, False):
        process.away = away
        assert not await process.sessions.is_open(SESSION)


async def test_what_another_process_has_ended_stays_ended_when_the_database_goes(shop: Shop) -> None:
    process = Process(shop)
    await Process(shop).sessions.end(SESSION)
    assert not await process.sessions.is_open(SESSION)
    process.away = True
    assert not await process.sessions.is_open(SESSION)


async def test_one_that_is_ended_during_the_look_is_not_open(shop: Shop) -> None:
    process = Process(shop)

    async def find_slowly(_: str) -> bool:
        with pytest.raises(Unavailable):
            await process.sessions.end(SESSION)
        return False

    process.away = True
    process.sessions = ConsoleSessions(find_slowly, process._record)  # noqa: SLF001 - its own
    assert not await process.sessions.is_open(SESSION)
    assert not await process.sessions.is_open(SESSION)


async def test_of_many_sessions_those_that_were_known_last_are_remembered(shop: Shop) -> None:
    process = Process(shop, most=3)
    many = [Session(f"{number:064}", SESSION.until) for number in range(5)]
    for session in many[:3]:
        process.sessions.begin(session)
    for session in many[3:]:
        assert await process.sessions.is_open(session)
    process.away = True
    for forgotten in many[:2]:
        with pytest.raises(Unavailable):
            await process.sessions.is_open(forgotten)
    assert [await process.sessions.is_open(session) for session in many[2:]] == [True] * 3


async def test_one_that_is_ended_again_and_again_takes_the_place_of_no_other(shop: Shop) -> None:
    process = Process(shop, most=2)
    other = Session("b" * 64, SESSION.until)
    process.sessions.begin(other)
    for _ in range(5):
        await process.sessions.end(SESSION)
    process.away = True
    assert await process.sessions.is_open(other)
    assert not await process.sessions.is_open(SESSION)


async def test_the_ends_of_sessions_are_removed_a_day_after_their_time(shop: Shop) -> None:
    await Process(shop).sessions.end(SESSION)
    for later, removed in ((timedelta(hours=36), 0), (timedelta(seconds=1), 1), (timedelta(), 0)):
        shop.clock.forward(later)
        assert await shop.use_cases.remove_sessions() == removed
