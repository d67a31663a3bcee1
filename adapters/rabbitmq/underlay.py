"""All private parts of aiormq that this project uses.

They publish messages in batches: one write for all messages, and one future for all confirms. In batches of fifty, a
confirmed message costs 11 µs of CPU. It costs 14 µs with a future of aiormq for each message, 48 through
`aiormq.Channel.basic_publish` and 62 through `aio_pika.Exchange.publish` (aiormq 7.2.4, uvloop). `pyproject.toml`
bounds aiormq's version, and tests/unit/adapters/test_aiormq_internals.py names what has changed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

import aiormq
from aiormq.abc import ChannelFrame, DeliveredMessage
from attrs import define, field, frozen
from pamqp import commands

_WAITING: Final = TimeoutError()


async def write(channel: aiormq.Channel, frames: bytes) -> None:
    """Queue all frames to be written at once. If this fails or is cancelled, no frame is sent."""
    await channel.write_queue.put(ChannelFrame(frames, should_close=False))


@define(eq=False)
class Confirms:
    """The confirms of one batch of messages. The batch must be the next that is written to the channel.

    aiormq keeps a future for each message, which costs five callbacks of the event loop. Here one future serves the
    whole batch. aiormq gets a `_Confirm` for each message, which has only the methods that aiormq calls.
    """

    _channel: aiormq.Channel
    _ids: Sequence[str]
    _errors: list[BaseException | None] = field(init=False)
    _left: int = field(init=False)
    # The channel cancels this future, or sets its exception, when the channel is lost.
    _all: asyncio.Future[None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._errors, self._left = [_WAITING] * len(self._ids), len(self._ids)
        self._all = self._channel.create_future()
        for index, id_ in enumerate(self._ids):
            self._channel.delivery_tag += 1
            self._channel.confirmations[self._channel.delivery_tag] = cast(Any, _Confirm(self, index))
            # A returned message has only its id, not its delivery tag.
            self._channel.message_id_delivery_tag[id_] = self._channel.delivery_tag

    async def wait(self, seconds: float) -> list[BaseException | None]:
        """Return the error of each message: None if it was confirmed, `DeliveryError` if it was refused.

        Any other error means that the outcome is unknown.
        """
        await asyncio.wait([self._all], timeout=seconds)
        if self._left and self._all.done():
            lost = ConnectionError("the connection was lost") if self._all.cancelled() else self._all.exception()
            return [lost if error is _WAITING else error for error in self._errors]
        return list(self._errors)

    def is_settled(self, index: int) -> bool:
        return self._errors[index] is not _WAITING

    def settle(self, index: int, error: BaseException | None) -> None:
        self._errors[index] = error
        self._channel.message_id_delivery_tag.pop(self._ids[index], None)
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)


@frozen
class _Confirm:
    """The confirm of one message, with the methods of a future that aiormq calls."""

    _confirms: Confirms
    _index: int

    def done(self) -> bool:
        return self._confirms.is_settled(self._index)

    def cancelled(self) -> bool:
        return False

    def set_result(self, answer: commands.Basic.Ack | DeliveredMessage) -> None:
        # A channel that does not raise for returned messages would pass them here. Only an ack is a confirm.
        returned = aiormq.DeliveryError(answer, answer.delivery) if isinstance(answer, DeliveredMessage) else None
        self._confirms.settle(self._index, returned)

    def set_exception(self, error: BaseException) -> None:
        self._confirms.settle(self._index, error)
