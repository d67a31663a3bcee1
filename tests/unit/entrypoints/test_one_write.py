import asyncio
from typing import cast

from attrs import define, field

from entrypoints.http.server.one_write import OneWrite


@define
class Socket:
    """Keeps what each system call would send."""

    sent: list[bytes] = field(factory=list)
    closed: bool = False

    def write(self, data: bytes) -> None:
        assert not self.closed, "uvloop raises where a closed transport is written to"
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def response_on(socket: Socket) -> OneWrite:
    return OneWrite(cast(asyncio.Transport, socket))


async def next_iteration() -> None:
    await asyncio.sleep(0)


async def test_head_and_body_are_sent_together() -> None:
    socket = Socket()
    response = response_on(socket)
    response.write(b"head")
    response.write(b"body")
    assert socket.sent == [b"headbody"]
    await next_iteration()
    assert socket.sent == [b"headbody"]


async def test_the_rest_of_a_body_follows_at_once() -> None:
    socket = Socket()
    response = response_on(socket)
    for part in (b"head", b"one", b"two"):
        response.write(part)
    assert socket.sent == [b"headone", b"two"]


async def test_a_head_whose_body_does_not_follow_does_not_wait_for_it() -> None:
    socket = Socket()
    response = response_on(socket)
    response.write(b"head")
    await next_iteration()
    assert socket.sent == [b"head"]
    response.write(b"an event")
    assert socket.sent == [b"head", b"an event"]


async def test_a_response_without_a_body_is_sent_by_its_last_message() -> None:
    socket = Socket()
    response = response_on(socket)
    response.write(b"head")
    response.write(b"")
    assert socket.sent == [b"head"]


async def test_a_response_is_sent_before_its_connection_closes() -> None:
    socket = Socket()
    response = response_on(socket)
    response.write(b"head")
    response.close()
    assert (socket.sent, socket.closed) == ([b"head"], True)


async def test_nothing_is_sent_over_a_connection_that_was_lost_meanwhile() -> None:
    socket = Socket()
    response_on(socket).write(b"head")
    socket.close()
    await next_iteration()
    assert socket.sent == []
