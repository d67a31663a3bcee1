"""What RabbitMQ says of its own limits. Only its management API tells them; AMQP does not."""

import asyncio
import base64
import http.client
import json
import ssl
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from attrs import frozen

from application.errors import Unavailable

_TIMEOUT: Final = 2.0
_LARGEST: Final = 2**20


@frozen
class NodeFiles:
    """How many files a node has open, and how many it may have open."""

    node: str
    open: int
    most: int

    @property
    def left(self) -> int:
        return self.most - self.open


async def files_of_nodes(url: str) -> list[NodeFiles]:
    """Return those of each running node that tells. Raise `Unavailable`."""
    try:
        nodes = await asyncio.to_thread(_asked, url)
        return [
            NodeFiles(str(each["name"]), int(each["fd_used"]), int(each["fd_total"]))
            for each in nodes
            if each.get("running") and each.get("fd_used") and each.get("fd_total")
        ]
    except (OSError, ValueError, TypeError, AttributeError, KeyError, http.client.HTTPException) as error:
        where = urlsplit(url)
        raise Unavailable(
            f"the management API of RabbitMQ at {where.hostname}:{where.port or ''} can't be read: {error}"
        ) from None


def _asked(url: str) -> Any:
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
        connection.request("GET", f"{parts.path.rstrip('/')}/api/nodes", headers={"Authorization": f"Basic {secret}"})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"it answers {response.status} {response.reason}")
        return json.loads(response.read(_LARGEST))
    finally:
        connection.close()
