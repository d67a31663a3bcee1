import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from attrs import define, evolve, field

from adapters.rabbitmq.active_consumer import ActiveConsumer, Receipt
from adapters.rabbitmq.connection import ReconnectPacing, Timeouts
from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.sender import Sender
from adapters.rabbitmq.topology import Topology
from application.errors import OutcomeUnknown, Unavailable
from application.ports.messaging import Delivery

_LONGEST_REASON: Final = 2000
_LONGEST_NAME: Final = 100

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


class _Refused(Unavailable):
    """A queue of ours is missing, refuses a message, or is of another kind."""


@asynccontextmanager
async def open_subscription(
    url: str, topology: Topology, consumer: str, *, prefetch: int = 512, timeouts: Timeouts | None = None
) -> AsyncGenerator["RabbitSubscription", None]:
    """Connect at the first `receive`. Leaving the block returns unacknowledged messages to the queue at once."""
    queue = RabbitSubscription(url, topology, consumer, prefetch, timeouts or Timeouts())
    try:
        yield queue
    finally:
        await queue.close()


@define(eq=False)
class RabbitSubscription:
    """Receives the events of one consumer. They are prefetched, and returned in batches.

    `ack`, `retry` and `dead_letter` may raise `Trouble`. That is always safe: RabbitMQ redelivers the message, and the
    database knows what was done. When a message moves to another queue, the copy there is confirmed before
    the message is acked here. A crash in between duplicates the message and never loses it.
    """

    _url: str
    _topology: Topology
    _consumer: str
    _prefetch: int
    _timeouts: Timeouts
    _sender: Sender = field(init=False)
    _pacing: ReconnectPacing = field(init=False)
    _subscription: ActiveConsumer | None = field(default=None, init=False)
    _opening: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        # Publishing has its own connection: an alarm of the broker blocks a connection that publishes, and consuming
        # must go on.
        own = self._topology.queue(self._consumer)
        others = {name: arguments for name, arguments in self._topology.queues(self._consumer).items() if name != own}
        self._sender = Sender(self._url, f"{own} sender", self._timeouts, others)
        self._pacing = ReconnectPacing(self._timeouts.retry)

    async def receive(self, limit: int) -> list[Delivery]:
        while True:
            subscription = await self._subscribed()
            await subscription.wait()
            if taken := subscription.take(limit):
                return taken

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        receipts = [_receipt(delivery) for delivery in deliveries]
        current = [receipt for receipt in receipts if not receipt.subscription.lost]
        for subscription in {receipt.subscription for receipt in current}:
            await subscription.settle([receipt.tag for receipt in current if receipt.subscription is subscription])
        if len(current) < len(receipts):
            trouble = OutcomeUnknown if current else Unavailable
            raise trouble("the connection that received these messages was lost: they will be redelivered")

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        receipt = _receipt(delivery)
        headers = _headers(receipt, reason) | {"attempt": delivery.attempt + 1, "failures": delivery.failures}
        pause = self._topology.pause(delivery.attempt)
        # If this process ends meanwhile, RabbitMQ redelivers the message, as the attempt that it was.
        if pause is None or not receipt.subscription.hand_out_again(_next(delivery, receipt, headers), pause):
            await self._pass_on(delivery, self._topology.later(self._consumer), headers)

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        receipt = _receipt(delivery)
        headers = _headers(receipt, reason) | {"attempts": delivery.attempt}
        await self._pass_on(delivery, self._topology.dead(self._consumer), headers)

    async def close(self) -> None:
        async with self._opening:
            await self._end_subscription()
        await self._sender.close()

    async def _subscribed(self) -> ActiveConsumer:
        async with self._opening:
            if self._subscription is None or self._subscription.lost:
                await self._end_subscription()
                await self._pacing.wait()
                queue = self._topology.queue(self._consumer)
                self._subscription = await ActiveConsumer.open(
                    self._url,
                    queue=queue,
                    prefetch=self._prefetch,
                    timeouts=self._timeouts,
                    dead_letter=self._dead_letter_unreadable,
                )
            return self._subscription

    async def _end_subscription(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    async def _dead_letter_unreadable(self, receipt: Receipt, attempt: int, reason: str) -> None:
        await self._move(
            receipt, self._topology.dead(self._consumer), _headers(receipt, reason) | {"attempts": attempt}
        )
        log.warning("a message was dead-lettered", queue=self._consumer, reason=reason[:_LONGEST_REASON])

    async def _pass_on(self, delivery: Delivery, queue: str, headers: dict[str, Any]) -> None:
        receipt = _receipt(delivery)
        try:
            await self._move(receipt, queue, headers)
        except _Refused:
            # It waits here, for the longest delay. A lost subscription would bring all others again, again and again.
            again, pause = _next(delivery, receipt, headers), self._topology.delays[-1]
            if not receipt.subscription.hand_out_again(again, pause):
                receipt.subscription.lose()
            raise
        except BaseException:
            # This message will not be acked any more. RabbitMQ redelivers it only after the subscription is closed.
            receipt.subscription.lose()
            raise

    async def _move(self, receipt: Receipt, queue: str, headers: dict[str, Any]) -> None:
        if receipt.subscription.lost:
            raise Unavailable("the connection that received this message was lost: it will be redelivered")
        message = Message(queue, receipt.message.body, receipt.message.type, headers)
        if await self._sender.send([message]) != [True]:
            raise _Refused(
                f"RabbitMQ did not accept a message for {queue}: does the queue exist, and is it ours?"
                " `holdfast migrate` declares it, or says what is wrong"
            )
        await receipt.subscription.settle([receipt.tag])


def _receipt(delivery: Delivery) -> Receipt:
    if not isinstance(delivery.tag, Receipt):
        raise TypeError(f"a delivery with the tag {delivery.tag!r} was not received from RabbitMQ")
    return delivery.tag


def _next(delivery: Delivery, receipt: Receipt, headers: dict[str, Any]) -> Delivery:
    again = evolve(receipt, message=evolve(receipt.message, headers=headers))
    return evolve(delivery, attempt=delivery.attempt + 1, tag=again)


def _headers(receipt: Receipt, reason: str) -> dict[str, Any]:
    """Return the headers of a copy: its times and the reason. Of the original headers, only known ones are kept."""
    now = datetime.now(UTC).isoformat()
    kept = {name: value for name in ("event-id", "first-at") if _is_short(value := receipt.message.headers.get(name))}
    # A reason may quote text that is not valid Unicode.
    reason = reason[:_LONGEST_REASON].encode(errors="replace").decode()
    return {"first-at": now, **kept, "last-at": now, "reason": reason}


def _is_short(header: object) -> bool:
    return isinstance(header, str) and len(header) <= _LONGEST_NAME
