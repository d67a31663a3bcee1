"""Publishing to a broker of several nodes, of which one may fall silent."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog
from attrs import define, field

from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.link import Link, first_answer, silent_after
from adapters.rabbitmq.sender import Sender
from application.errors import Trouble
from application.execution.concurrency import end

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

# Seconds between two attempts to connect the links to different nodes.
_MOVE_EVERY: Final = 30.0


@define(eq=False)
class TwoLinks:
    """Publishes over a link to one node, and over a link to another node when the first one falls silent.

    A node that is frozen, or whose cable was pulled, says nothing for as long as a confirm is waited for. So messages
    that are not confirmed in a moment are sent over the other link as well, and the link that answers is used from then
    on. The broker may get messages twice then, as it may whenever somebody sends again what was not confirmed.
    """

    _link: Link
    # The standby. It connects when the first link is first used.
    _other: Link
    _opening: "asyncio.Task[None] | None" = field(default=None, init=False)
    # When both links last ended at the same node, because no other answered.
    _same_node_at: float = field(default=float("-inf"), init=False)

    @classmethod
    def of(cls, first: Sender, second: Sender) -> "TwoLinks":
        first.beside, second.beside = second, first
        return cls(Link(first), Link(second))

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """As `Sender.send`. If the caller is cancelled, sending goes on: otherwise no silent link would be noticed."""
        if not messages:
            return []
        link, other = self._link, self._other
        self._keep_ready(link.sender, other.sender)
        first = link.send(messages)
        while not first.done() and not link.is_silent:
            await asyncio.wait([first], timeout=link.silent_after)
        is_answered = first.done() and not isinstance(first.exception(), Trouble)
        if is_answered or other.is_silent:
            return await asyncio.shield(first)
        second = other.send(messages)
        outcome = await first_answer(first, second)
        if outcome is second and self._link is link:
            self._link, self._other = other, link
            log.warning("a node of RabbitMQ is silent or gone, and messages go to another one", node=link.sender.where)
        return outcome.result()

    @property
    def silent_after(self) -> float:
        """Seconds after which what was sent counts as not answered, over either link."""
        return silent_after(self._link, self._other)

    def _keep_ready(self, sender: Sender, other: Sender) -> None:
        """Open the other link, to another node, while messages are sent over the first one."""
        if self._opening is not None and not self._opening.done():
            return
        loop = asyncio.get_running_loop()
        is_beside = other.is_open and (other.where != sender.where or loop.time() < self._same_node_at + _MOVE_EVERY)
        if not is_beside:
            self._opening = loop.create_task(self._open_beside(sender, other))

    async def _open_beside(self, sender: Sender, other: Sender) -> None:
        with suppress(Trouble):
            await sender.open()
            if other.is_open and other.where == sender.where:
                self._same_node_at = asyncio.get_running_loop().time()
                await other.close()
            await other.open()

    async def close(self) -> None:
        if self._opening is not None:
            await end([self._opening])
        await self._link.close()
        await self._other.close()
