import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiormq
from aiormq.abc import DeliveredMessage
from attrs import define, field

from adapters.rabbitmq.active_consumer import whole_number
from adapters.rabbitmq.frames import acknowledging
from adapters.rabbitmq.link import Link, ReconnectPacing, Timeouts, talking, write
from adapters.rabbitmq.topology import DELIVERY_LIMIT, Topology
from application.ports.messaging import DeadDelivery
from domain.dead_letter import DeadMessage

_LOOK_EVERY: Final = 1.0


@asynccontextmanager
async def open_dead_letters(
    url: str, topology: Topology, consumer: str, *, look_every: float = _LOOK_EVERY, timeouts: Timeouts | None = None
) -> AsyncGenerator["RabbitDeadLetterQueue", None]:
    """It connects when something is to be received. Leaving the block gives back what is not done."""
    queue = RabbitDeadLetterQueue(url, topology.dead(consumer), look_every, timeouts or Timeouts())
    try:
        yield queue
    finally:
        await queue.close()


@define(eq=False)
class RabbitDeadLetterQueue:
    """The queue to which the consumer, and the broker itself, send what can't be processed.

    It is looked into from time to time: there is no hurry, and a look that is answered proves that the connection
    lives, which a subscription would have to be watched for.
    """

    _url: str
    _queue: str
    _look_every: float
    _timeouts: Timeouts
    _pacing: ReconnectPacing = field(init=False)
    _link: Link | None = field(default=None, init=False)
    _channel: aiormq.Channel | None = field(default=None, init=False)
    # What was fetched and is not done: until the connection ends, the broker brings it to nobody else.
    _held: dict[int, DeadDelivery] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._pacing = ReconnectPacing(self._timeouts.retry)

    async def receive(self, limit: int) -> list[DeadDelivery]:
        while not self._held:
            await self._fetch(limit)
            if not self._held:
                await asyncio.sleep(self._look_every)
        return list(self._held.values())[:limit]

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        # What was lost with its connection is brought again, as another delivery.
        tags = [tag for tag, held in self._held.items() if any(delivery is held for delivery in deliveries)]
        if self._link is None or self._channel is None or not tags:
            return
        try:
            async with talking(self._link.where, self._timeouts.answer):
                acks = (acknowledging(tag, channel=self._channel.number) for tag in tags)
                await write(self._channel, b"".join(acks), flush=True)
        except BaseException:
            await self.close()
            raise
        for tag in tags:
            self._held.pop(tag, None)

    async def close(self) -> None:
        link, self._link, self._channel = self._link, None, None
        self._held.clear()
        if link is not None:
            await link.close()

    async def _fetch(self, limit: int) -> None:
        try:
            link, channel = await self._open()
            while len(self._held) < limit:
                async with talking(link.where, self._timeouts.answer):
                    message = await channel.basic_get(self._queue)
                if message.delivery_tag is None:
                    return
                self._held[message.delivery_tag] = DeadDelivery(_dead_message(message), tag=None)
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> tuple[Link, aiormq.Channel]:
        if self._link is None or self._channel is None or self._channel.is_closed:
            await self.close()
            await self._pacing.wait()
            self._link = await Link.open(self._url, name=f"{self._queue} reader", timeouts=self._timeouts)
            self._channel = await self._link.channel()
        return self._link, self._channel


def _dead_message(message: DeliveredMessage) -> DeadMessage:
    """Ours tell their story in headers. Of those that the broker gave up by itself it tells when and why."""
    headers = message.header.properties.headers or {}
    attempts = max(1, whole_number(headers.get("attempts")) or whole_number(headers.get("attempt")))
    reason, last_at = headers.get("reason"), _moment(headers.get("last-at"))
    if (death := _death(headers)) and "attempts" not in headers:
        reason, last_at = f"RabbitMQ gave it up: {death.get('reason')}", _moment(death.get("time"))
        attempts += DELIVERY_LIMIT if death.get("reason") == "delivery_limit" else 0
    last_at = last_at or datetime.now(UTC)
    first_at = _moment(headers.get("first-at")) or last_at
    return DeadMessage(
        body=message.body,
        reason=reason if isinstance(reason, str) else "nobody has said why",
        attempts=attempts,
        first_at=min(first_at, last_at),
        last_at=last_at,
    )


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    deaths = headers.get("x-death")
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else None


def _moment(header: object) -> datetime | None:
    """Headers are what others have written: whatever is no moment is none."""
    try:
        moment = datetime.fromisoformat(header) if isinstance(header, str) else header
    except ValueError:
        return None
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
