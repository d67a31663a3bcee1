import asyncio
import errno
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from adapters.redis.client import BadAddress
from adapters.redis.connections import connector
from application.errors import Unavailable

_SECONDS: Final = 2.0
_OTHER_MODES: Final = {
    "sentinel": "is a Sentinel, which keeps no data: name a server of Redis in REDIS_URL. Caches need no failover",
    "cluster": "is a node of Redis Cluster, which Holdfast can't use: name a single server in REDIS_URL. Caches need no"
    " failover",
}
# With these, a Redis that is full drops nothing, or what would end soon.
_KEEPING: Final = ("noeviction", "volatile-ttl")


async def server_version(url: str) -> str:
    """Return the name and version of the server at the URL, as "Redis 7.0.15".

    Raise `Unavailable`. Its message says what is wrong and what to do, and never contains the password.
    """
    at, info = await _ask(url, "server")
    if (mode := info.get("redis_mode")) in _OTHER_MODES:
        raise Unavailable(f"Redis at {at} {_OTHER_MODES[mode]}")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of an unknown version')}"


async def eviction_problem(url: str) -> str | None:
    """Return what a full Redis would drop that is kept nowhere else, and what to do. Raise `Unavailable`."""
    _, info = await _ask(url, "memory")
    policy = info.get("maxmemory_policy", _KEEPING[0])
    if policy in _KEEPING or not info.get("maxmemory"):
        return None
    return (
        f"Redis has maxmemory-policy {policy}: when it is full, it may drop carts, and accepted orders that are not"
        " recorded yet, which nobody could look up then. Take volatile-ttl, which drops first what would soon end"
    )


async def _ask(url: str, section: str) -> tuple[str, Mapping[str, Any]]:
    """Return the address, and what the server says of itself."""
    try:
        connector(url)
    except ValueError:
        raise Unavailable(f"REDIS_URL is {BadAddress()}") from None
    redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), protocol=2, driver_info=None, socket_timeout=None)
    at = _address(redis)
    try:
        async with asyncio.timeout(_SECONDS):
            return at, await redis.info(section)
    except TimeoutError:
        raise Unavailable(
            f"Redis at {at} gave no answer in {_SECONDS:g} s: is it overloaded, or behind a firewall?"
        ) from None
    except (RedisError, OSError) as error:
        raise Unavailable(f"Redis at {at} {_what_is_wrong(error)}") from None
    finally:
        with suppress(Exception):
            async with asyncio.timeout(1):
                await redis.aclose()


def _address(redis: Redis) -> str:
    where = redis.connection_pool.connection_kwargs
    return str(where["path"]) if "path" in where else f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"


def _what_is_wrong(error: Exception) -> str:
    cause = error.__context__
    words = str(error)
    if isinstance(error, AuthenticationError) or "NOAUTH" in words or "WRONGPASS" in words:
        return "refuses the user or the password: correct them in REDIS_URL"
    if isinstance(error, NoPermissionError):
        return "does not let this user ask for its version: grant the user the command INFO"
    # If the host name has several addresses, one error combines the errors of all.
    if isinstance(cause, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in words:
        return "refuses the connection: start it, or correct the address in REDIS_URL"
    if isinstance(cause, socket.gaierror):
        return "can't be found: its host name is unknown; correct the host in REDIS_URL"
    if isinstance(cause, FileNotFoundError):
        return "can't be found: there is no such socket; start it, or correct the path in REDIS_URL"
    return f"can't be used: {words or type(error).__name__}"
