import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiormq
from attrs import define, field

from adapters.codecs.events import MAX_BYTES
from adapters.rabbitmq.active_consumer import whole_number
from adapters.rabbitmq.connection import BrokerConnection, ReconnectPacing, Timeouts
from adapters.rabbitmq.received import Received
from adapters.rabbitmq.topology import DELIVERY_LIMIT, Topology
from application.errors import OutcomeUnknown
from application.ports.messaging import DeadDelivery
from domain.dead_letter import DeadMessage

_LOOK_EVERY: Final = 1.0
# Of the bodies that are held at once. One message more than this is always taken, however large it is.
_MOST_BYTES: Final = 8 * 2**20
# Before this there was no message.
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def open_dead_letters(
    url: str, topology: Topology, consumer: str, *, look_every: float = _LOOK_EVERY, timeouts: Timeouts | None = None
) -> AsyncGenerator["RabbitDeadLetterQueue", None]:
    """Connect at the first `receive`. Leaving the block returns unacknowledged messages to the queue."""
    queue = RabbitDeadLetterQueue(url, topology.dead(consumer), look_every, timeouts or Timeouts())
    try:
        yield queue
    finally:
        await queue.close()


@define(eq=False)
class RabbitDeadLetterQueue:
    """The queue to which the consumer and the broker itself send messages that can't be processed.

    It is polled, because dead letters are not urgent. Each reply to a poll proves that the connection is alive; a
    subscription would need a watchdog for that.
    """

    _url: str
    _name: str
    _look_every: float
    _timeouts: Timeouts
    _pacing: ReconnectPacing = field(init=False)
    _connection: BrokerConnection | None = field(default=None, init=False)
    _channel: aiormq.Channel | None = field(default=None, init=False)
    # Fetched and unacknowledged, each with its delivery tag. Until the connection is closed, RabbitMQ delivers them to
    # no other consumer.
    _held: list[tuple[DeadDelivery, int]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._pacing = ReconnectPacing(self._timeouts.retry)

    async def receive(self, limit: int) -> list[DeadDelivery]:
        while not self._held:
            await self._fetch(limit)
            if not self._held:
                await asyncio.sleep(self._look_every)
        return [delivery for delivery, _ in self._held[:limit]]

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        # A delivery whose connection was lost is not held any more. RabbitMQ redelivers its message.
        done = [held for held in self._held if any(held[0] is delivery for delivery in deliveries)]
        if self._connection is None or self._channel is None or not done:
            return
        try:
            async with self._connection.talking(self._timeouts.answer, lost=OutcomeUnknown):
                for held in done:
                    await self._channel.basic_ack(held[1])
                    self._held.remove(held)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._held.clear()
        if connection is not None:
            await connection.close()

    async def _fetch(self, limit: int) -> None:
        try:
            connection, channel = await self._open()
            room = _MOST_BYTES
            while len(self._held) < limit and room > 0:
                async with connection.talking(self._timeouts.answer):
                    message = await channel.basic_get(self._name)
                if message.delivery_tag is None:
                    return
                dead = _dead_message(Received.of(message), datetime.now(UTC))
                self._held.append((DeadDelivery(dead, tag=None), message.delivery_tag))
                room -= len(dead.body)
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> tuple[BrokerConnection, aiormq.Channel]:
        if self._connection is None or self._channel is None or self._channel.is_closed:
            await self.close()
            await self._pacing.wait()
            name = f"{self._name} reader"
            self._connection = await BrokerConnection.open(self._url, name=name, timeouts=self._timeouts)
            self._channel = await self._connection.underlay_channel()
        return self._connection, self._channel


def _dead_message(message: Received, now: datetime) -> DeadMessage:
    """Read attempts, reason and times from the headers.

    The consumer writes these headers itself. For a message that RabbitMQ has dead-lettered, `x-death` has the reason
    and the time.
    """
    headers = message.headers
    attempts = max(1, whole_number(headers.get("attempts")) or whole_number(headers.get("attempt")))
    reason, last_at = headers.get("reason"), _moment(headers.get("last-at"), now)
    if (death := _death(headers)) and "attempts" not in headers:
        reason, last_at = _why(death, message.body), _moment(death.get("time"), now)
        attempts += DELIVERY_LIMIT if death.get("reason") == "delivery_limit" else 0
    last_at = last_at or now
    first_at = _moment(headers.get("first-at"), now) or last_at
    return DeadMessage(
        body=message.body,
        reason=message.problem or (reason if isinstance(reason, str) else "no reason was given"),
        attempts=attempts,
        first_at=min(first_at, last_at),
        last_at=last_at,
    )


def _why(death: Mapping[str, Any], body: bytes) -> str:
    # The consumer leaves it to the broker to dead-letter what is too large for its memory.
    if death.get("reason") == "rejected" and len(body) > MAX_BYTES:
        return f"BadMessage: a message has at most {MAX_BYTES} bytes, this one {len(body)}"
    return f"RabbitMQ dead-lettered it: {death.get('reason')}"


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    deaths = headers.get("x-death")
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else None


def _moment(header: object, now: datetime) -> datetime | None:
    """Headers are untrusted. Anything that is not a time at which a message can have failed is read as None.

    A time to come would also hide every later failure of the same message.
    """
    try:
        moment = datetime.fromisoformat(header) if isinstance(header, str) else header
        if not isinstance(moment, datetime):
            return None
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return min(moment, now) if moment >= _EARLIEST else None
