import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import sha1
from typing import Any, Final, TypeVar

import structlog
from attrs import define, field, frozen
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, ResponseError

from adapters.redis.connections import Argument, Connection, Connections, OnConnect, connector

T = TypeVar("T")

# An epoch identifies the state of Redis in which an entry was written: the run id of the server, then random bytes.
RUN_BYTES: Final = 12
EPOCH_BYTES: Final = RUN_BYTES + 16

_NO_RUN: Final = b"-" * RUN_BYTES

# What no waiting mends is tried more rarely, by this factor.
_FOR_GOOD: Final = (AuthenticationError, NoPermissionError)
_MORE_RARELY: Final = 10

_log = structlog.get_logger("holdfast.redis")


class BadAddress(ValueError):
    """The URL is not one of a Redis server. The message leaves out the URL, which may contain a password."""

    def __init__(self) -> None:
        super().__init__("not an address of Redis, which looks like redis://[user:password@]host[:6379][/0]")


@frozen
class Script:
    """A Lua script, which Redis runs atomically. Its source is sent once, and it is then called by its digest."""

    source: str
    digest: str = field(init=False)

    @digest.default
    def _of_source(self) -> str:
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@define(eq=False)
class GuardedRedis:
    """A client of Redis whose calls never raise: they return None at once while Redis is unavailable.

    The first call that fails or times out disconnects the client. From then on calls cost nothing, and a task of this
    object tries to reconnect. Writes in the meantime do not reach Redis, so an entry there may be older than the
    database. So a reconnect begins by removing the epochs of all caches: all entries of all processes become unreadable
    before this process reads again.

    Meanwhile other processes may still reach Redis. `CacheFence` keeps them from reading there. One gap remains: if a
    process dies between its commit and its write to Redis, others read the old entry until the relay invalidates it.
    """

    _connect: Callable[[OnConnect], Callable[[], Connection]]
    _timeout: float
    _connect_timeout: float
    _retry_every: float
    _epoch_keys: set[str] = field(factory=set, init=False)
    _client: Connections | None = field(default=None, init=False)
    _may_read: bool = field(default=False, init=False)
    _run: bytes = field(default=_NO_RUN, init=False)
    # Why this process does without Redis, or did so last.
    _trouble: BaseException | None = field(default=None, init=False)
    _returning: asyncio.Task[None] | None = field(default=None, init=False)
    _lost: list[Connections] = field(factory=list, init=False)
    _is_closed: bool = field(default=False, init=False)
    _writing: set[asyncio.Task[Any]] = field(factory=set, init=False)

    def invalidate_through(self, epoch_key: str) -> None:
        """Remove this epoch at each reconnect, to invalidate its cache: a write to the cache may have been missed."""
        self._epoch_keys.add(epoch_key)

    @property
    def is_away(self) -> bool:
        """Whether this process does without Redis. Before it uses Redis again, it invalidates what it missed."""
        return not self._may_read

    @property
    def epoch_keys(self) -> Sequence[str]:
        return sorted(self._epoch_keys)

    def new_epoch(self) -> bytes:
        return self._run + secrets.token_hex((EPOCH_BYTES - RUN_BYTES) // 2).encode()

    def is_current(self, epoch: bytes | None) -> bool:
        """Return whether an epoch that was read is from the server's current run.

        A restarted server may have loaded an older snapshot, and no client may have noticed the restart.
        """
        return epoch is not None and len(epoch) == EPOCH_BYTES and epoch.startswith(self._run)

    async def read(self, *command: Argument) -> Any | None:
        if not self._may_read:
            return None
        return await self._ask(lambda client: client.execute(*command))

    async def write(self, *command: Argument) -> Any | None:
        return await self._write(lambda client: client.execute(*command))

    async def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Any | None:
        async def call(client: Connections) -> Any:
            try:
                return await client.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
            except NoScriptError:
                return await client.execute("EVAL", script.source, len(keys), *keys, *arguments)

        return await self._write(call)

    async def start(self) -> None:
        if not await self._return():
            self._tell("starting without it")
            self._returning = asyncio.get_running_loop().create_task(self._keep_returning())

    async def close(self) -> None:
        self._is_closed = True
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.wait({self._returning}, timeout=1)
        if self._writing:
            await asyncio.wait(self._writing, timeout=1)
        # The last chance to invalidate entries whose update was missed. Otherwise they stay until they expire.
        if self._client is None and self._epoch_keys:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._return()
        self._may_read = False
        if self._client is not None:
            self._lost.append(self._client)
            self._client = None
        await self._close_lost()

    async def _write(self, call: Callable[[Connections], Awaitable[Any]]) -> Any | None:
        # In a task of its own. If a cancelled caller cancelled the write, its outcome would be unknown, and this
        # process would have to disconnect from Redis and invalidate all caches.
        writing = asyncio.get_running_loop().create_task(self._ask(call))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return await asyncio.shield(writing)

    async def _ask(self, call: Callable[[Connections], Awaitable[Any]]) -> Any | None:
        client = self._client
        if client is None:
            return None
        try:
            return await self._in_time(call(client))
        except Exception as error:  # noqa: BLE001 - on any error the caller goes on without Redis
            self._give_up(client, error)
            return None

    async def _in_time(self, answer: Awaitable[T]) -> T:
        loop = asyncio.get_running_loop()
        # The last fifth of the timeout begins when the alarm runs. If the event loop itself was blocked for longer than
        # the timeout, it then reads a reply that has arrived, and does not take its own delay for the server's.
        async with asyncio.timeout(None) as limit:
            alarm = loop.call_later(self._timeout * 0.8, lambda: limit.reschedule(loop.time() + self._timeout * 0.2))
            try:
                return await answer
            finally:
                alarm.cancel()

    def _give_up(self, client: Connections, error: BaseException) -> None:
        if self._client is not client:
            return
        self._client, self._may_read, self._trouble = None, False, error
        self._lost.append(client)
        if self._returning is not None and not self._returning.done():
            return  # The reconnect itself has failed; its task tries again.
        self._tell("going on without it")
        if not self._is_closed:
            self._returning = asyncio.get_running_loop().create_task(self._keep_returning())

    def _tell(self, what_now: str) -> None:
        error = self._trouble
        if isinstance(error, _FOR_GOOD):
            advice = "correct the user or the password in REDIS_URL, or give that user its rights (`ACL SETUSER`)"
            _log.error(f"Redis refuses this user; {what_now}", reason=self._reason(error), advice=advice)
        elif isinstance(error, ResponseError):
            _log.warning(f"Redis refuses a command; {what_now}", reason=self._reason(error))
        else:
            _log.warning(f"Redis does not answer; {what_now}", reason=self._reason(error))

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer in {self._timeout:g} s"
        return str(error) or type(error).__name__

    async def _keep_returning(self) -> None:
        while not self._is_closed:
            spread = random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            rarely = _MORE_RARELY if isinstance(self._trouble, _FOR_GOOD) else 1
            await asyncio.sleep(max(self._retry_every * spread * rarely, self._timeout * 2))
            # The lost clients are no longer in use: every call on them has ended or timed out.
            await self._close_lost()
            if await self._return():
                _log.info("Redis is back")
                return

    async def _return(self) -> bool:
        client = Connections(self._connect(self._on_connect), self._connect_timeout)
        try:
            await client.open()
            await self._in_time(client.execute("PING"))
            # Writes are allowed first, so that no commit is missed from here on. Removing the epochs then invalidates
            # all entries that earlier commits have missed. Reads are allowed only after that.
            self._client = client
            if self._epoch_keys:
                # Redis accepts DEL even if its memory is full and it refuses writes.
                await self._in_time(client.execute("DEL", *self._epoch_keys))
            self._may_read = self._client is client
        except Exception as error:  # noqa: BLE001 - as in `_ask`
            self._trouble = error
            _log.debug("Redis still does not answer", reason=self._reason(error))
        finally:
            if not self._may_read:
                self._client = None
                self._lost.append(client)
        return self._may_read

    async def _close_lost(self) -> None:
        while self._lost:
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await self._lost.pop().close()

    async def _on_connect(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        try:
            info: bytes = await connection.read_response()
        except ResponseError:
            # This user may not run INFO. So a restart from an older snapshot between two calls is not detected.
            self._run = _NO_RUN
        else:
            self._run = info.partition(b"run_id:")[2][:RUN_BYTES].ljust(RUN_BYTES, b"-")


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    timeout: float = 0.1,  # noqa: ASYNC109 - the timeout of each call, not of this one
    connect_timeout: float = 2.0,
    retry_every: float = 0.5,
) -> AsyncIterator[GuardedRedis]:
    """Open the client, even if Redis is not reachable. Raise `BadAddress` only.

    `timeout` bounds each call, and `connect_timeout` the opening of a connection, for which no call waits;
    `retry_every` is the pause between attempts to reconnect.
    """
    try:
        connect = connector(url)
    except ValueError:
        raise BadAddress from None
    redis = GuardedRedis(connect, timeout=timeout, connect_timeout=connect_timeout, retry_every=retry_every)
    await redis.start()
    try:
        yield redis
    finally:
        await redis.close()
