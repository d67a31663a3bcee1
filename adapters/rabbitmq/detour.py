"""Queueing orders in the seconds in which their queue has no leader that answers."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from attrs import define, field

from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.link import Link, OneLink, Sending, first_answer
from adapters.rabbitmq.two_links import TwoLinks
from application.errors import Trouble
from application.execution.concurrency import end

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


@define(eq=False)
class Detour:
    """Publishes over the links, and what a customer waits for by way of another queue when its own has no leader.

    When the machine of a queue's leader falls silent, that queue confirms nothing for some seconds, whatever the node
    that is asked: first another leader has to be elected. RabbitMQ 3.10 also asks the former leader, and waits until it
    knows that this node is down, before it takes the first message of a channel. Other queues have other leaders. So
    the messages are sent to such a queue as well. There they wait, and RabbitMQ moves them on to their own queue.
    """

    _links: OneLink | TwoLinks
    # Over a connection of its own, since a channel that waits for a leader does nothing else. It is open during a
    # detour only, and so is never to a node that has fallen silent since.
    _aside: Link
    # The other queue of each queue whose messages a customer waits for.
    _by_way_of: Mapping[str, str]
    _is_on: bool = field(default=False, init=False)
    _closing: "asyncio.Task[None] | None" = field(default=None, init=False)
    _direct: set[Sending] = field(factory=set, init=False)

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """As `Sender.send`. If the caller is cancelled, sending goes on."""
        if not all(message.routing_key in self._by_way_of for message in messages):
            return await self._links.send(messages)
        direct = self._send_directly(messages)
        await asyncio.wait([direct], timeout=self._links.silent_after)
        if direct.done() and not isinstance(direct.exception(), Trouble):
            self._end()
            return direct.result()
        aside = self._aside.send(
            [message._replace(routing_key=self._by_way_of[message.routing_key]) for message in messages]
        )
        first = await first_answer(direct, aside)
        if first is aside and aside.exception() is None and any(aside.result()):
            self._begin()
        return first.result()

    def _begin(self) -> None:
        if not self._is_on:
            self._is_on = True
            log.warning("orders are queued by way of another queue: their own does not answer")

    def _end(self) -> None:
        self._is_on = False
        is_closing = self._closing is not None and not self._closing.done()
        if self._aside.sender.is_open and not self._aside.is_sending and not is_closing:
            self._closing = asyncio.get_running_loop().create_task(self._aside.sender.close())

    def _send_directly(self, messages: Sequence[Message]) -> Sending:
        direct = asyncio.get_running_loop().create_task(self._links.send(messages))
        self._direct.add(direct)
        direct.add_done_callback(self._forget)
        return direct

    def _forget(self, direct: Sending) -> None:
        self._direct.discard(direct)
        # The caller may be gone. Then its error must not be logged as one that was missed.
        if not direct.cancelled():
            direct.exception()

    async def close(self) -> None:
        await end(list(self._direct))
        if self._closing is not None:
            await end([self._closing])
        await self._links.close()
        await self._aside.close()
