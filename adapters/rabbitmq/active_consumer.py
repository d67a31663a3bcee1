import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, NoReturn

import aiormq
import structlog
from aiormq.abc import DeliveredMessage
from attrs import define, field, frozen

from adapters.codecs.events import decode
from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from application.errors import OutcomeUnknown, Trouble, Unavailable
from application.ports.messaging import Delivery

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

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


# Moves a message that can't be read to the dead letters, for this reason, and settles it.
DeadLetter = Callable[[Receipt, int, str], Awaitable[None]]


@define(eq=False)
class ActiveConsumer:
    """What one consumer has in hand, over one connection. When that is lost, so is this, and everything in it.

    Nothing is lost with it in earnest: the broker brings again whatever was not settled.
    """

    _connection: BrokerConnection
    _channel: aiormq.Channel
    _queue: str
    _dead_letter: DeadLetter
    lost: bool = field(default=False, init=False)
    _waiting: deque[Delivery] = field(factory=deque, init=False)
    _suspects: list[Delivery] = field(factory=list, init=False)
    _suspect_was_last: bool = field(default=False, init=False)
    _unreadable: asyncio.Queue[tuple[Receipt, int, str]] = field(factory=asyncio.Queue, init=False)
    # In the order in which they came, which is that of their tags.
    _unsettled: dict[int, None] = field(factory=dict, init=False)
    _settling: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _tasks: list[asyncio.Task[None]] = field(factory=list, init=False)

    @classmethod
    async def open(
        cls, url: str, *, queue: str, prefetch: int, timeouts: Timeouts, dead_letter: DeadLetter
    ) -> "ActiveConsumer":
        connection = await BrokerConnection.open(url, name=f"{queue} consumer", timeouts=timeouts)
        try:
            consumer = cls(connection, await connection.underlay_channel(), queue, dead_letter)
            await consumer._consume(prefetch)
        except BaseException:
            await connection.close()
            raise
        return consumer

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
        """Tell the broker that it may forget them.

        Raise `Unavailable` when it was not told, and `OutcomeUnknown` when it may not have heard: they come again.
        """
        # One at a time: an ack of all before a tag must not overtake one of a tag before it, which would then be
        # acked twice, and that costs the channel. So would a tag that is not here any more.
        async with self._settling:
            acks = self._acks(set(tags))
            if not acks:
                return
            if self.lost:
                raise Unavailable("the connection that brought these messages was lost: they will be brought again")
            try:
                async with self._connection.talking(self._connection.timeouts.answer, lost=OutcomeUnknown):
                    # An ack is never answered. The last one has gone to the socket when this returns, and all others
                    # before it: closing the connection drops what has not.
                    for at, (tag, and_all_before) in enumerate(acks, 1):
                        await self._channel.basic_ack(tag, multiple=and_all_before, wait=at == len(acks))
            except BaseException:
                self.lose()
                raise

    def _acks(self, tags: set[int]) -> list[tuple[int, bool]]:
        """Each tag that is unsettled, and settled with this; the oldest ones in one, with all that came before it."""
        tags &= self._unsettled.keys()
        oldest = 0
        for tag in self._unsettled:
            if tag not in tags:
                break
            oldest = tag
        for tag in tags:
            del self._unsettled[tag]
        later = [(tag, False) for tag in sorted(tags) if tag > oldest]
        return [(oldest, True), *later] if oldest else later

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
        await self._connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _consume(self, prefetch: int) -> None:
        self._channel.closing.add_done_callback(lambda _: self.lose())
        self._channel.on_consumer_cancel_callbacks.add(lambda _: self.lose())
        async with self._connection.talking(self._connection.timeouts.answer):
            await self._channel.basic_qos(prefetch_count=prefetch)
            await self._channel.basic_consume(self._queue, self._arrived)
        for work in (self._watch, self._clear):
            task = asyncio.create_task(work())
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a consumer was given up", queue=self._queue, exc_info=error)
        self.lose()

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
        """Dead-letter what can't be read, beside the work and not in its way."""
        while True:
            unreadable = await self._unreadable.get()
            while True:
                try:
                    await self._dead_letter(*unreadable)
                    break
                except Trouble:
                    await asyncio.sleep(self._connection.timeouts.retry)

    async def _watch(self) -> None:
        """Find out when the broker has forgotten us. A connection that looks alive proves nothing."""
        timeouts, overlooked = self._connection.timeouts, False
        try:
            queue = await self._connection.queue(self._queue)
            while True:
                await asyncio.sleep(timeouts.watch)
                async with self._connection.talking(timeouts.answer):
                    state = await queue.declare()
                # Messages wait, and we have nothing in hand: once may be chance, twice in a row is not.
                idle = bool(state.message_count) and not self._unsettled
                if not state.consumer_count or (idle and overlooked):
                    return
                overlooked = idle
        except Trouble:
            return


def whole_number(header: object) -> int:
    """Headers are what others have written: whatever is no sensible count is none."""
    return header if isinstance(header, int) and not isinstance(header, bool) and 0 <= header < 2**31 else 0
