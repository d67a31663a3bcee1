"""Sends the head of a response and its body by one system call.

uvicorn writes the head as soon as it knows it, and then the body. On uvloop each write is a system call at once, and
the client may wake up for each. One write instead of two saves 5% of the API's CPU for an order that is placed.
"""

import asyncio

from attrs import define, field


@define(eq=False)
class OneWrite:
    """The transport of one response, whose head waits for the first part of its body.

    A head whose body does not follow at once, as that of a stream, is sent in the next iteration of the event loop.
    """

    _transport: asyncio.Transport
    _head: bytes | None = field(default=None, init=False)
    _has_begun: bool = field(default=False, init=False)

    def write(self, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun, self._head = True, data
            asyncio.get_running_loop().call_soon(self._send_head)
        elif self._head is None:
            self._transport.write(data)
        else:
            # The last message of a response comes here, too, also if it has no body.
            whole, self._head = self._head + data, None
            self._transport.write(whole)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        if self._head is not None and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = None
