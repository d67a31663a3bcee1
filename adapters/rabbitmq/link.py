"""A link to the broker that may fall silent."""

import asyncio
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.sender import Sender
from application.errors import OutcomeUnknown
from application.execution.concurrency import end

# Seconds without any confirm after which messages are sent over the other link as well. A quorum queue confirms within
# some milliseconds. Where confirms usually take longer, a link is silent after three times as long: a slow broker must
# not get everything twice. The latest moment is one at which an order can still be accepted.
_SILENT: Final = 0.3
SILENT_AT_THE_LATEST: Final = 1.5
_THIS_MANY_TIMES: Final = 3
# What is more than that, while a connection is being opened.
_TO_OPEN: Final = 0.7
# The weight of the newest time in what is usual.
_NEWEST: Final = 0.2

Sending = asyncio.Task[list[bool]]


@define(eq=False)
class Link:
    """A sender, and whether it is silent."""

    sender: Sender
    # What is not answered yet, and since when.
    _sending: dict[Sending, float] = field(factory=dict)
    # Seconds that a confirm usually takes.
    _usual: float = 0.0
    # When the broker has answered for the last time.
    _heard_at: float = float("-inf")

    def send(self, messages: Sequence[Message]) -> Sending:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self.sender.send(messages))
        self._sending[task] = loop.time()
        task.add_done_callback(self._note)
        return task

    def _note(self, task: Sending) -> None:
        began = self._sending.pop(task)
        # The caller may be gone. Then its error must not be logged as one that was missed.
        if not task.cancelled() and task.exception() is None:
            self._heard_at = asyncio.get_running_loop().time()
            self._usual += (self._heard_at - began - self._usual) * _NEWEST

    @property
    def silent_after(self) -> float:
        return min(max(_SILENT, _THIS_MANY_TIMES * self._usual), SILENT_AT_THE_LATEST)

    @property
    def is_silent(self) -> bool:
        """Whether messages wait for longer than a moment, and nothing was answered meanwhile."""
        a_moment_ago = asyncio.get_running_loop().time() - self.silent_after
        return any(self._heard_at < began <= a_moment_ago for began in self._sending.values())

    @property
    def is_sending(self) -> bool:
        return bool(self._sending)

    async def close(self) -> None:
        await end(list(self._sending))
        await self.sender.close()


def silent_after(*links: Link) -> float:
    """Return the seconds after which messages that are sent over one link after the other count as not answered.

    0 if all are silent already.
    """
    if all(link.is_silent for link in links):
        return 0.0
    to_open = 0.0 if links[0].sender.is_open else _TO_OPEN
    return min(to_open + sum(link.silent_after for link in links), SILENT_AT_THE_LATEST)


@define(eq=False)
class OneLink:
    """The only link that there is."""

    _link: Link

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """As `Sender.send`. If the caller is cancelled, sending goes on."""
        return await asyncio.shield(self._link.send(messages)) if messages else []

    @property
    def silent_after(self) -> float:
        """Seconds after which what was sent counts as not answered."""
        return silent_after(self._link)

    async def close(self) -> None:
        await self._link.close()


async def first_answer(first: Sending, second: Sending) -> Sending:
    """The one that confirms all messages first. If none does, the one that confirms most.

    If both fail, one whose messages may have arrived, if there is one.
    """
    running = {first, second}
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None and all(task.result()):
                return task
    answered = [task for task in (first, second) if task.exception() is None]
    if answered:
        return max(answered, key=lambda task: sum(task.result()))
    return first if isinstance(first.exception(), OutcomeUnknown) else second
