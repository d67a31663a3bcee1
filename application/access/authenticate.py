"""Finds out who calls, from an API key."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

from attrs import define, evolve, field, frozen

from application.access.limits import FailedAttempts
from application.access.principal import Principal, Unauthenticated
from application.access.scopes import CUSTOMER_SCOPES, Scope
from application.access.tokens import id_in
from application.errors import Overloaded, Trouble, Unavailable
from application.ports.api_keys import ApiKey
from application.ports.environment import Clock, Elapsed, loop_time
from application.ports.persistence import UnitOfWork

KNOWN_SCOPES: Final = frozenset(map(str, Scope))
NOTED_EVERY: Final = timedelta(minutes=1)


def principal_of(key: ApiKey) -> Principal:
    """Return who holds the key. A scope that this release does not know, or gives no customer, is left out."""
    scopes = frozenset(Scope(scope) for scope in key.scopes & KNOWN_SCOPES)
    if key.user_id is not None:
        scopes &= CUSTOMER_SCOPES
    return Principal(key.id, name=key.name, user_id=key.user_id, scopes=scopes)


@frozen
class FindKeys:
    """Read keys by their ids."""

    _unit_of_work: UnitOfWork

    async def __call__(self, ids: Sequence[str]) -> Sequence[ApiKey | None]:
        async with self._unit_of_work.reading() as tx:
            found = await tx.api_keys.get_many(set(ids))
        return [found.get(id_) for id_ in ids]


@frozen
class NoteUse:
    """Write down when keys were used, at most once a minute each."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, ids: Sequence[str]) -> Sequence[None]:
        async with self._unit_of_work() as tx:
            await tx.api_keys.note_use(ids, at=self._now(), every=NOTED_EVERY)
        return [None] * len(ids)


@define(eq=False)
class _Known:
    key: ApiKey
    principal: Principal
    # By a clock that nobody sets.
    read_at: float
    failed_at: float | None = None
    reading: "asyncio.Task[None] | None" = None


@define(eq=False)
class Authenticate:
    """Returns whose key it is. Keys that were used lately are known here, so that most calls read nothing.

    Raise `Unauthenticated` for a key that does not work, `TooManyGuesses` after many of them from one address, and
    `Unavailable` for a new key while the database is away. A known key goes on working for an hour then, since orders
    are still accepted. While the database answers, and only the look at the key fails, a known key works for as long
    as without that trouble. Then raise `Overloaded`.
    """

    # `FindKeys`, batched and with its timeout.
    _find: Callable[[str], Awaitable[ApiKey | None]]
    # `NoteUse`, batched.
    _note_use: Callable[[str], Awaitable[None]]
    _now: Clock
    # Seconds. A known key that was read longer ago is read again, and after `oldest` its caller waits for that. So a
    # key that was revoked is dead in every process within 5 s.
    _fresh: float = field(default=2.0, kw_only=True)
    _oldest: float = field(default=4.0, kw_only=True)
    # How long a known key goes on working while the database can't be read, and the pause between two attempts.
    _without_database: float = field(default=3600.0, kw_only=True)
    _retry: float = field(default=1.0, kw_only=True)
    # How long it does so while the database answers this process, and is too slow for the look at the key.
    _overloaded: float = field(default=5.0, kw_only=True)
    # Whether the database has just answered this process.
    _database_answers: Callable[[], bool] = field(default=lambda: False, kw_only=True)
    _time: Elapsed = field(default=loop_time, kw_only=True)
    _most: int = field(default=10_000, kw_only=True)
    _failed: FailedAttempts = field(factory=FailedAttempts, kw_only=True)
    # By the hash of the key, the longest known first.
    _known: OrderedDict[bytes, _Known] = field(factory=OrderedDict, init=False)
    _tasks: "set[asyncio.Task[None]]" = field(factory=set, init=False)

    async def __call__(self, token: str, address: str) -> Principal:
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            known = await self._get(token, digest, address)
        else:
            age = self._time() - known.read_at
            if age > self._fresh:
                await self._read_again(known, age)
        key = known.key
        # Most keys have neither, and pay nothing for those that do.
        if key.revoked_at is not None or (key.expires_at is not None and not key.works(self._now())):
            # It stays known, so that it is read no more often than a key that works.
            raise Unauthenticated("the key works no more: it was revoked, or has expired")
        if key.networks and not key.may_be_used_from(address):
            raise Unauthenticated("the key may not be used from this address")
        return known.principal

    async def _get(self, token: str, digest: bytes, address: str) -> _Known:
        self._failed.expect_room(address)
        id_ = id_in(token)
        if id_ is None:
            self._failed.note(address)
            raise Unauthenticated("this is no key of Holdfast, or it was mistyped: its checksum is wrong")
        read_at = self._time()
        key = await self._find(id_)
        if key is None or not compare_digest(bytes.fromhex(key.digest), digest):
            self._failed.note(address)
            raise Unauthenticated("there is no such key")
        known = self._known[digest] = _Known(key, principal_of(key), read_at)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        self._start(self._note(key))
        return known

    async def _read_again(self, known: _Known, age: float) -> None:
        now = self._time()
        if known.reading is None and (known.failed_at is None or now - known.failed_at > self._retry):
            if known.failed_at is not None and now - known.failed_at > self._oldest:
                # That was long ago, and the key was idle since. The database may be back: this caller waits to know.
                known.failed_at = None
            known.reading = self._start(self._refresh(known))
        if age > self._oldest and known.failed_at is None and known.reading is not None:
            # The caller may hang up, and the reading goes on for the others.
            await asyncio.shield(known.reading)
        if known.failed_at is None:
            return
        if age > self._overloaded and self._database_answers():
            raise Overloaded("the key could not be looked up for too long, because the database is overloaded")
        if age > self._without_database:
            raise Unavailable("the key was not looked up for too long, because the database is away")

    async def _refresh(self, known: _Known) -> None:
        now = self._time
        read_at = now()
        try:
            key = await self._find(known.key.id)
        except Trouble:
            known.failed_at = now()
            return
        finally:
            known.reading = None
        if key is None:
            # The database was restored to a time before the key.
            key = evolve(known.key, revoked_at=self._now())
        known.key, known.principal, known.read_at, known.failed_at = key, principal_of(key), read_at, None
        self._start(self._note(key))

    async def _note(self, key: ApiKey) -> None:
        now = self._now()
        # A key that works no more lets nobody in, which is no use of it.
        if key.works(now) and (key.last_used_at is None or now - key.last_used_at >= NOTED_EVERY):
            with suppress(Trouble):
                await self._note_use(key.id)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
