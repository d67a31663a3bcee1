import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, NoReturn

import aiormq
import structlog
from aiormq.abc import DeliveredMessage
from attrs import define, field, frozen

from adapters.codecs.events import MAX_BYTES, decode
from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.received import Received
from application.errors import OutcomeUnknown, Trouble, Unavailable
from application.ports.messaging import Delivery

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

# A message that was redelivered this many times may be killing the workers: it is processed alone.
_SUSPECT: Final = 3


@frozen
class Receipt:
    """The tag and the message of a delivery. The tag is valid only in the subscription that received it."""

    subscription: "ActiveConsumer"
    tag: int
    message: Received


# Moves an unreadable message to the dead letters, with its attempt number and the reason, and acks it.
DeadLetter = Callable[[Receipt, int, str], Awaitable[None]]


@define(eq=False)
class ActiveConsumer:
    """The open subscription of one consumer: a connection and its unacknowledged deliveries.

    It can't be used after the connection is lost. No message is lost: RabbitMQ redelivers the unacknowledged ones.
    """

    _connection: BrokerConnection
    _channel: aiormq.Channel
    _queue: str
    _dead_letter: DeadLetter
    # How many more deliveries may wait here for their next attempt, so that there is room for new ones.
    _room: int
    lost: bool = field(default=False, init=False)
    _waiting: deque[Delivery] = field(factory=deque, init=False)
    _suspects: list[Delivery] = field(factory=list, init=False)
    _suspect_was_last: bool = field(default=False, init=False)
    # Calls that are still to be made. Each of them removes an unreadable message from RabbitMQ's queue.
    _set_aside: asyncio.Queue[Callable[[], Awaitable[None]]] = field(factory=asyncio.Queue, init=False)
    # The unacknowledged tags in order of arrival, which is ascending.
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
            consumer = cls(connection, await connection.underlay_channel(), queue, dead_letter, prefetch // 2)
            await consumer._consume(prefetch)
        except BaseException:
            await connection.close()
            raise
        return consumer

    async def wait(self) -> None:
        """Wait until there is a delivery to take, or the subscription is lost."""
        while not (self._waiting or self._suspects or self.lost):
            self._changed.clear()
            await self._changed.wait()

    def take(self, limit: int) -> list[Delivery]:
        """Return at most `limit` waiting deliveries, or one suspect alone. If both wait, the two kinds take turns.

        The choice of the suspect is random. In queue order, a message that kills the worker would block the suspects
        behind it for ever.
        """
        if self._suspects and not (self._waiting and self._suspect_was_last):
            self._suspect_was_last = True
            return [self._suspects.pop(random.randrange(len(self._suspects)))]  # noqa: S311 - no secret
        self._suspect_was_last = False
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def hand_out_again(self, delivery: Delivery, delay: float) -> bool:
        """Let an unsettled delivery wait here for so many seconds. Return False if there is no room for it."""
        if self.lost or not self._room:
            return False
        self._room -= 1
        asyncio.get_running_loop().call_later(delay, self._hand_out, delivery)
        return True

    def _hand_out(self, delivery: Delivery) -> None:
        self._room += 1
        if not self.lost:
            self._waiting.append(delivery)
            self._changed.set()

    async def settle(self, tags: Collection[int]) -> None:
        """Ack the deliveries with these tags.

        Raise `Unavailable` if no ack was sent, and `OutcomeUnknown` if RabbitMQ may not have received every ack.
        RabbitMQ redelivers each message whose ack it has not received.
        """
        # Acks are sent one call at a time. If a multiple ack overtook the single ack of a lower tag, that tag would be
        # acked twice. RabbitMQ closes the channel for a double ack, and for an unknown tag.
        async with self._settling:
            acks = self._acks(set(tags))
            if not acks:
                return
            if self.lost:
                raise Unavailable("the connection that received these messages was lost: they will be redelivered")
            try:
                async with self._connection.talking(self._connection.timeouts.answer, lost=OutcomeUnknown):
                    # RabbitMQ does not reply to an ack. `wait=True` on the last ack waits only until all acks have been
                    # written to the socket. Closing the connection would drop those that are still buffered.
                    for at, (tag, and_all_before) in enumerate(acks, 1):
                        await self._channel.basic_ack(tag, multiple=and_all_before, wait=at == len(acks))
            except BaseException:
                self.lose()
                raise

    async def _reject(self, tag: int) -> None:
        """Let the broker dead-letter a message."""
        # The tag stays among the unsettled ones until the reject is sent: a multiple ack would ack it otherwise.
        async with self._settling, self._connection.talking(self._connection.timeouts.answer, lost=OutcomeUnknown):
            if tag in self._unsettled:
                await self._channel.basic_reject(tag, requeue=False)
                del self._unsettled[tag]
                log.warning("a message is too large, and was dead-lettered", queue=self._queue, longest=MAX_BYTES)

    def _acks(self, tags: set[int]) -> list[tuple[int, bool]]:
        """Remove the tags from the unacknowledged ones and return the acks to send, as pairs of tag and `multiple`.

        One multiple ack covers the oldest tags without a gap. Every other tag gets its own ack. Unknown tags are
        ignored.
        """
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
        """Mark the subscription as lost. Its owner closes it, and RabbitMQ redelivers the unacknowledged messages."""
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
            log.error("a consumer failed and is closed", queue=self._queue, exc_info=error)
        self.lose()

    async def _arrived(self, message: DeliveredMessage) -> None:
        if self.lost or message.delivery_tag is None:
            return
        self._unsettled[message.delivery_tag] = None
        receipt = Receipt(self, message.delivery_tag, Received.of(message))
        if len(message.body) > MAX_BYTES:
            # The broker moves it: hundreds of messages of this size would not fit into the memory of this process.
            self._set_aside.put_nowait(partial(self._reject, message.delivery_tag))
            return
        headers = receipt.message.headers
        returns = whole_number(headers.get("x-delivery-count"))
        attempt = max(1, whole_number(headers.get("attempt"))) + returns
        if receipt.message.problem is not None:
            self._set_aside.put_nowait(partial(self._dead_letter, receipt, attempt, receipt.message.problem))
            return
        try:
            delivery = Delivery(decode(message.body), attempt, receipt, whole_number(headers.get("failures")))
        except Exception as error:  # noqa: BLE001 - after any error the message is dead-lettered
            reason = f"{type(error).__name__}: {error}"
            self._set_aside.put_nowait(partial(self._dead_letter, receipt, attempt, reason))
            return
        (self._waiting if returns < _SUSPECT else self._suspects).append(delivery)
        self._changed.set()

    async def _clear(self) -> NoReturn:
        """Dead-letter unreadable messages in the background, so that they don't delay the others."""
        while True:
            set_aside = await self._set_aside.get()
            while True:
                try:
                    await set_aside()
                    break
                except Trouble:
                    await asyncio.sleep(self._connection.timeouts.retry)
                except Exception:
                    # It stays in the queue, unacknowledged. The others must not wait for it.
                    log.exception("an unreadable message can't be dead-lettered", queue=self._queue)
                    break

    async def _watch(self) -> None:
        """Return when RabbitMQ no longer delivers to this consumer. The subscription is then lost.

        The queue has to be asked: an open connection does not prove that the consumer still exists.
        """
        timeouts, overlooked = self._connection.timeouts, False
        try:
            queue = await self._connection.queue(self._queue)
            while True:
                await asyncio.sleep(timeouts.watch)
                async with self._connection.talking(timeouts.answer):
                    state = await queue.declare()
                # Messages are waiting in the queue, but this consumer holds none. Seen once, that may be chance. Seen
                # twice in a row, the consumer is gone.
                idle = bool(state.message_count) and not self._unsettled
                if not state.consumer_count or (idle and overlooked):
                    return
                overlooked = idle
        except Trouble:
            return


def whole_number(header: object) -> int:
    """Headers are untrusted. Anything that is not a valid count is read as 0."""
    return header if isinstance(header, int) and not isinstance(header, bool) and 0 <= header < 2**31 else 0
