import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, NoReturn

import aiormq
from aiormq.abc import DeliveredMessage
from attrs import define, field, frozen
from pamqp import commands

from adapters.codecs.events import decode
from adapters.rabbitmq.frames import acknowledging
from adapters.rabbitmq.link import Link, Timeouts, talking, write
from application.errors import Unavailable
from application.ports.messaging import Delivery

# A message that came back unsettled so often may be what kills the workers: it is worked on alone.
_SUSPECT: Final = 3


@frozen
class Receipt:
    """What settles a delivery. It is good for the subscription that brought it, and no other."""

    subscription: "ActiveConsumer"
    tag: int
    message: DeliveredMessage

    @property
    def headers(self) -> dict[str, Any]:
        return self.message.header.properties.headers or {}


# Puts away a message that can't be read, for this reason, and settles it.
SetAside = Callable[[Receipt, int, str], Awaitable[None]]


@define(eq=False)
class ActiveConsumer:
    """What one consumer has in hand, over one connection. When that is lost, so is this, and everything in it.

    Nothing is lost with it in earnest: the broker brings again whatever was not settled.
    """

    _link: Link
    _channel: aiormq.Channel
    _queue: str
    _set_aside: SetAside
    lost: bool = field(default=False, init=False)
    _waiting: deque[Delivery] = field(factory=deque, init=False)
    _suspects: list[Delivery] = field(factory=list, init=False)
    _suspect_was_last: bool = field(default=False, init=False)
    _unreadable: asyncio.Queue[tuple[Receipt, int, str]] = field(factory=asyncio.Queue, init=False)
    # In the order in which they came, which is that of their tags.
    _unsettled: dict[int, None] = field(factory=dict, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _tasks: list[asyncio.Task[None]] = field(factory=list, init=False)

    @classmethod
    async def open(
        cls, url: str, *, queue: str, prefetch: int, timeouts: Timeouts, set_aside: SetAside
    ) -> "ActiveConsumer":
        link = await Link.open(url, name=f"{queue} consumer", timeouts=timeouts)
        try:
            subscription = cls(link, await link.channel(), queue, set_aside)
            await subscription._consume(prefetch)
        except BaseException:
            await link.close()
            raise
        return subscription

    async def wait(self) -> None:
        """Until there is something to take, or the subscription is lost."""
        while not (self._waiting or self._suspects or self.lost):
            self._changed.clear()
            await self._changed.wait()

    def take(self, limit: int) -> list[Delivery]:
        """Those that are there, up to the limit; suspects take turns with them, one at a time and in any order.

        Were suspects taken in their order, the one that kills the worker would keep those behind it waiting for good.
        """
        if self._suspects and not (self._waiting and self._suspect_was_last):
            self._suspect_was_last = True
            return [self._suspects.pop(random.randrange(len(self._suspects)))]  # noqa: S311 - no secret
        self._suspect_was_last = False
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    async def settle(self, tags: Collection[int]) -> None:
        """Tell the broker that it may forget them. Raise `Unavailable`."""
        # What was settled before is no longer here, and settling it again would cost the channel.
        tags = {tag for tag in tags if tag in self._unsettled}
        if not tags:
            return
        oldest = 0
        for tag in self._unsettled:
            if tag not in tags:
                break
            oldest = tag
        channel = self._channel.number
        acks = [acknowledging(tag, channel=channel) for tag in sorted(tags) if tag > oldest]
        if oldest:
            acks.insert(0, acknowledging(oldest, channel=channel, and_all_before=True))
        for tag in tags:
            del self._unsettled[tag]
        try:
            async with talking(self._link.where, self._link.timeouts.answer):
                # An ack is never answered. Should it get lost on its way, the message is brought again.
                await write(self._channel, b"".join(acks), flush=True)
        except BaseException:
            self.lose()
            raise

    def lose(self) -> None:
        """Give it up; whoever holds it closes it, and the broker brings again what is unsettled."""
        self.lost = True
        self._waiting.clear()
        self._suspects.clear()
        self._changed.set()

    async def close(self) -> None:
        self.lose()
        for task in self._tasks:
            task.cancel()
        await self._link.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _consume(self, prefetch: int) -> None:
        self._channel.closing.add_done_callback(lambda _: self.lose())
        self._channel.on_consumer_cancel_callbacks.add(lambda _: self.lose())
        async with talking(self._link.where, self._link.timeouts.answer):
            await self._channel.basic_qos(prefetch_count=prefetch)
            await self._channel.basic_consume(self._queue, self._arrived)
        for work in (self._watch, self._clear):
            task = asyncio.create_task(work())
            task.add_done_callback(lambda _: self.lose())
            self._tasks.append(task)

    async def _arrived(self, message: DeliveredMessage) -> None:
        if self.lost or message.delivery_tag is None:
            return
        self._unsettled[message.delivery_tag] = None
        receipt = Receipt(self, message.delivery_tag, message)
        returns = whole_number(receipt.headers.get("x-delivery-count"))
        attempt = max(1, whole_number(receipt.headers.get("attempt"))) + returns
        try:
            delivery = Delivery(decode(message.body), attempt, receipt)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it must not get out of sight
            self._unreadable.put_nowait((receipt, attempt, f"{type(error).__name__}: {error}"))
            return
        (self._waiting if returns < _SUSPECT else self._suspects).append(delivery)
        self._changed.set()

    async def _clear(self) -> NoReturn:
        """Set aside what can't be read, beside the work and not in its way."""
        while True:
            unreadable = await self._unreadable.get()
            while True:
                try:
                    await self._set_aside(*unreadable)
                    break
                except Unavailable:
                    await asyncio.sleep(self._link.timeouts.retry)

    async def _watch(self) -> None:
        """Find out when the broker has forgotten us. A connection that looks alive proves nothing."""
        overlooked = False
        while True:
            await asyncio.sleep(self._link.timeouts.watch)
            try:
                state = await self._look()
            except Unavailable:
                return
            # Messages wait, and we have nothing in hand: once may be chance, twice in a row is not.
            idle = bool(state.message_count) and not self._unsettled
            if not state.consumer_count or (idle and overlooked):
                return
            overlooked = idle

    async def _look(self) -> commands.Queue.DeclareOk:
        # On a channel of its own, for a queue that is gone costs the channel on which one asks for it.
        channel = await self._link.channel()
        try:
            async with talking(self._link.where, self._link.timeouts.answer):
                return await channel.queue_declare(self._queue, passive=True)
        finally:
            async with talking(self._link.where, self._link.timeouts.answer):
                await channel.close(aiormq.ChannelClosed(200, "closed by this side"))


def whole_number(header: object) -> int:
    """Headers are what others have written: whatever is no sensible count is none."""
    return header if isinstance(header, int) and not isinstance(header, bool) and 0 <= header < 2**31 else 0
