"""What aiormq keeps private, and we use: all of it stands here.

It publishes messages in batches: written in one step, and confirmed to one future. A confirmed message, of fifty at a
time, costs 11 µs of CPU so; 14 with a future of aiormq's for each; 48 through `aiormq.Channel.basic_publish` and 62
through `aio_pika.Exchange.publish` (aiormq 7.2.4, uvloop). The bound on aiormq's version in pyproject.toml and
tests/unit/adapters/test_aiormq_internals.py say when to look at this again.
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
    """Put frames on their way in one step. To be cancelled here, or to fail, leaves all of them unsent."""
    await channel.write_queue.put(ChannelFrame(frames, should_close=False))


@define(eq=False)
class Confirms:
    """What the broker says to messages that go out together, and are the next that go out on their channel.

    aiormq keeps a future for each message, which costs five callbacks of the event loop. Here there is one for all,
    and what aiormq is given instead has just what it asks of a future.
    """

    _channel: aiormq.Channel
    _ids: Sequence[str]
    _errors: list[BaseException | None] = field(init=False)
    _left: int = field(init=False)
    # The channel breaks it when it is lost.
    _all: asyncio.Future[None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._errors, self._left = [_WAITING] * len(self._ids), len(self._ids)
        self._all = self._channel.create_future()
        for index, id_ in enumerate(self._ids):
            self._channel.delivery_tag += 1
            self._channel.confirmations[self._channel.delivery_tag] = cast(Any, _Confirm(self, index))
            # A message that is returned names its id only.
            self._channel.message_id_delivery_tag[id_] = self._channel.delivery_tag

    async def wait(self, seconds: float) -> list[BaseException | None]:
        """What is wrong with each: None when it was confirmed, `DeliveryError` when it was refused."""
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
    """One of them, as aiormq takes it for a future."""

    _confirms: Confirms
    _index: int

    def done(self) -> bool:
        return self._confirms.is_settled(self._index)

    def cancelled(self) -> bool:
        return False

    def set_result(self, answer: commands.Basic.Ack | DeliveredMessage) -> None:
        # Only an ack confirms. On a channel that doesn't raise what is returned, that would come here as a result.
        returned = aiormq.DeliveryError(answer, answer.delivery) if isinstance(answer, DeliveredMessage) else None
        self._confirms.settle(self._index, returned)

    def set_exception(self, error: BaseException) -> None:
        self._confirms.settle(self._index, error)
