"""What RabbitMQ says of its nodes and queues. Only its management API tells it; AMQP does not."""

import asyncio
import base64
import http.client
import json
import ssl
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from attrs import frozen

from application.errors import Unavailable

_TIMEOUT: Final = 2.0
_LARGEST: Final = 2**20
# Of a policy, what removes messages that nobody has processed, or a queue with them. The arguments of our queues win
# over the rest of it.
_LOSSY: Final = frozenset({"expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit"})


@frozen
class NodeFiles:
    """How many files a node has open, and how many it may have open."""

    node: str
    open: int
    most: int

    @property
    def left(self) -> int:
        return self.most - self.open


@frozen
class QuorumQueue:
    """How many copies of a queue there are, how many of them are online, and which node leads."""

    name: str
    members: int
    online: int
    leader: str


async def files_of_nodes(url: str) -> list[NodeFiles]:
    """Return those of each running node that tells. Raise `Unavailable`."""
    return [
        NodeFiles(str(each["name"]), int(each["fd_used"]), int(each["fd_total"]))
        for each in await _list(url, "/api/nodes")
        if each.get("running") and each.get("fd_used") and each.get("fd_total")
    ]


async def partitions(url: str) -> dict[str, list[str]]:
    """Return the nodes that no longer belong to the same cluster, each with those that it lost. Raise `Unavailable`."""
    return {
        str(each["name"]): sorted(map(str, each["partitions"]))
        for each in await _list(url, "/api/nodes?columns=name,partitions")
        if isinstance(each.get("partitions"), list) and each["partitions"]
    }


async def quorum_queues(url: str, host: str, names: Collection[str]) -> list[QuorumQueue]:
    """Return those of these queues that are there, in the virtual host. Raise `Unavailable`."""
    return [
        QuorumQueue(str(each["name"]), len(each["members"]), len(each["online"]), str(each["leader"]))
        for each in await _queues(url, host, names, "members,online,leader")
        if isinstance(each.get("members"), list) and isinstance(each.get("online"), list) and each.get("leader")
    ]


async def lossy_policies(url: str, host: str, names: Collection[str]) -> dict[str, list[str]]:
    """Return what policies set for these queues of the virtual host by which RabbitMQ removes messages.

    Raise `Unavailable`.
    """
    found = {
        str(each["name"]): sorted(_LOSSY.intersection(each.get("effective_policy_definition") or ()))
        for each in await _queues(url, host, names, "effective_policy_definition")
    }
    return {name: set_ for name, set_ in found.items() if set_}


async def unacked_in(url: str, host: str, names: Collection[str]) -> dict[str, int]:
    """Return how many messages the consumers of these queues of the virtual host have not settled.

    Raise `Unavailable`.
    """
    return {
        str(each["name"]): int(each["messages_unacknowledged"])
        for each in await _queues(url, host, names, "messages_unacknowledged")
        if isinstance(each.get("messages_unacknowledged"), int)
    }


async def _queues(url: str, host: str, names: Collection[str], columns: str) -> list[dict[str, Any]]:
    """Return these columns of these queues. A queue of the same name in another virtual host is somebody else's."""
    listed = await _list(url, f"/api/queues/{quote(host, safe='')}?columns=name,{columns}")
    return [each for each in listed if each["name"] in names]


async def _list(url: str, path: str) -> list[dict[str, Any]]:
    """Return what the API lists, all with names. Raise `Unavailable`."""
    try:
        return _named(await asyncio.to_thread(_asked, url, path))
    except (OSError, ValueError, http.client.HTTPException) as error:
        where = urlsplit(url)
        raise Unavailable(
            f"the management API of RabbitMQ at {where.hostname}:{where.port or ''} can't be read: {error}"
        ) from None


def _named(found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(each, dict) and "name" in each for each in found):
        raise ValueError("it answers something else than a list")
    return found


def _asked(url: str, path: str) -> Any:
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    user = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
    secret = base64.b64encode(user.encode()).decode()
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}{path}", headers={"Authorization": f"Basic {secret}"})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"it answers {response.status} {response.reason}")
        return json.loads(response.read(_LARGEST))
    finally:
        connection.close()
