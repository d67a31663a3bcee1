import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final
from uuid import uuid4

import aiormq
import structlog
from attrs import define, field
from pamqp import commands

from adapters.rabbitmq.connection import BrokerConnection, ReconnectPacing, Timeouts
from adapters.rabbitmq.declaring import of_another_kind
from adapters.rabbitmq.errors import in_words
from adapters.rabbitmq.frames import Message, publishing
from adapters.rabbitmq.underlay import Confirms, write
from application.errors import OutcomeUnknown, Trouble, Unavailable
from application.execution.concurrency import end

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


@define(eq=False)
class Sender:
    """Publishes with confirms over its own connection, which is opened when the first message is sent.

    `queues` are those to which it sends by name, with their arguments. Nothing is sent to one that is of another kind:
    its confirm would not mean that the message is safe. While messages are sent, the kinds are looked at every
    `Timeouts.watch` seconds, since somebody may declare a queue anew.
    """

    _url: str
    _name: str
    _timeouts: Timeouts
    _queues: Mapping[str, dict[str, Any]] = field(factory=dict)
    # Of another kind, and why.
    _unsafe: dict[str, str] = field(factory=dict, init=False)
    _looked_at: float = field(default=0.0, init=False)
    _looking: "asyncio.Task[None] | None" = field(default=None, init=False)
    # Its connection should be to another node than that of this one.
    beside: "Sender | None" = field(default=None, init=False)
    _distrusted_at: float = field(default=float("-inf"), init=False)
    # True where a refusal may be for want of a leader, and the caller can do with `Unavailable` then.
    _doubts_refusals: bool = field(default=False, kw_only=True)
    # False where a refusal is the caller's to tell of.
    _tells_refusals: bool = field(default=True, kw_only=True)
    _connection: BrokerConnection | None = field(default=None, init=False)
    _channel: aiormq.Channel | None = field(default=None, init=False)
    _pacing: ReconnectPacing = field(init=False)
    # All callers of `send` wait for the same attempt to connect.
    _opening: "asyncio.Task[tuple[BrokerConnection, aiormq.Channel]] | None" = field(default=None, init=False)
    _writing: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    # Each message has an id of its own, to match the messages that the broker returns. An event's id is not enough,
    # because an event may be in flight twice.
    _prefix: str = field(factory=lambda: uuid4().hex, init=False)
    _numbers: "count[int]" = field(factory=count, init=False)

    def __attrs_post_init__(self) -> None:
        self._pacing = ReconnectPacing(self._timeouts.retry)

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """Send all messages at once, in this order. Return for each whether it was confirmed.

        A message that was not confirmed was refused, or its outcome is unknown. Raise `Unavailable` if no message was
        sent. Raise `OutcomeUnknown` if no message was confirmed and the outcome of at least one is unknown.
        """
        if not messages:
            return []
        connection, channel = await self._open()
        is_time_to_look = asyncio.get_running_loop().time() > self._looked_at + self._timeouts.watch
        if not self._unsafe:
            if is_time_to_look and self._queues:
                self._look_meanwhile(connection)
            return await self._send(connection, channel, messages)
        if is_time_to_look:
            await self._look(connection)
        is_safe = [bool(message.exchange) or message.routing_key not in self._unsafe for message in messages]
        safe = [message for message, is_sent in zip(messages, is_safe, strict=True) if is_sent]
        outcomes = iter(await self._send(connection, channel, safe) if safe else [])
        return [is_sent and next(outcomes) for is_sent in is_safe]

    async def _look(self, connection: BrokerConnection) -> None:
        self._unsafe = await of_another_kind(connection, self._queues)
        self._looked_at = asyncio.get_running_loop().time()
        for reason in self._unsafe.values():
            log.error("nothing is sent to a queue that may lose it", reason=reason)

    def _look_meanwhile(self, connection: BrokerConnection) -> None:
        """Look while messages are sent, so that none waits for it."""
        self._looked_at = asyncio.get_running_loop().time()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._try_to_look(connection))

    async def _try_to_look(self, connection: BrokerConnection) -> None:
        # If the connection is lost, the next one begins with a look.
        with suppress(Trouble):
            await self._look(connection)

    async def _send(
        self, connection: BrokerConnection, channel: aiormq.Channel, messages: Sequence[Message]
    ) -> list[bool]:
        confirms = await self._write(connection, channel, messages)
        errors = await confirms.wait(self._timeouts.confirm)
        refused = [error for error in errors if isinstance(error, aiormq.DeliveryError)]
        if refused and self._tells_refusals:
            log.error("messages were refused", count=len(refused), of=len(messages), first=str(refused[0]))
        lost = [error for error in errors if error is not None and not isinstance(error, aiormq.DeliveryError)]
        if lost:
            # A broker that does not confirm may be blocked for hours, so the connection is closed with its channel.
            await self._give_up(connection)
            if None not in errors:
                raise OutcomeUnknown(self._why(lost[0], connection.where)) from lost[0]
        elif refused and self._may_lack_a_leader(refused):
            await self._give_up(connection)
            if None not in errors:
                raise Unavailable(f"RabbitMQ at {connection.where} refused messages: does a queue have no leader?")
        return [error is None for error in errors]

    def _may_lack_a_leader(self, refused: Sequence[aiormq.DeliveryError]) -> bool:
        """Whether another connection may do better: a node had not heard yet that a queue has another leader.

        In RabbitMQ 3.10 a channel goes on asking the former leader then: each message takes 7 s, and is refused. A
        queue that is full refuses messages as well, so this is true now and then only.
        """
        # Where a queue is missing, the message is returned: no connection does better.
        if not self._doubts_refusals or not any(isinstance(error.frame, commands.Basic.Nack) for error in refused):
            return False
        now = asyncio.get_running_loop().time()
        if now < self._distrusted_at + self._timeouts.watch:
            return False
        self._distrusted_at = now
        return True

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._channel is not None and not self._channel.is_closed

    @property
    def where(self) -> str | None:
        """Return the node that it is connected to."""
        return None if self._connection is None else self._connection.where

    async def open(self) -> None:
        """Connect before the first message is sent. Raise `Unavailable`."""
        await self._open()

    async def close(self) -> None:
        if self._opening is not None:
            await end([self._opening])
        if self._looking is not None:
            await end([self._looking])
        await self._drop()

    async def _open(self) -> tuple[BrokerConnection, aiormq.Channel]:
        if self._connection is not None and self._channel is not None and not self._channel.is_closed:
            return self._connection, self._channel
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._connect())
        return await asyncio.shield(self._opening)

    async def _connect(self) -> tuple[BrokerConnection, aiormq.Channel]:
        await self._drop()
        await self._pacing.wait()
        beside = None if self.beside is None else self.beside.where
        connection = await BrokerConnection.open(self._url, name=self._name, timeouts=self._timeouts, last=beside)
        try:
            channel = await connection.underlay_channel(confirms=True)
            await self._look(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection, self._channel = connection, channel
        return connection, channel

    async def _give_up(self, connection: BrokerConnection) -> None:
        if self._connection is connection:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _write(
        self, connection: BrokerConnection, channel: aiormq.Channel, messages: Sequence[Message]
    ) -> Confirms:
        ids = [f"{self._prefix}-{next(self._numbers)}" for _ in messages]
        frames = b"".join(
            publishing(message, id_=id_, channel=channel.number, max_size=channel.max_content_size)
            for message, id_ in zip(messages, ids, strict=True)
        )
        # The broker numbers the messages of a channel, and confirms a number. So messages must be counted and written
        # without another call in between. If the write fails, the count is wrong and the channel can't be used.
        async with self._writing:
            if channel.is_closed:
                raise Unavailable(f"the connection to RabbitMQ at {connection.where} was lost before anything was sent")
            confirms = Confirms(channel, ids)
            try:
                async with connection.talking(self._timeouts.confirm):
                    await write(channel, frames)
            except BaseException:
                await self._give_up(connection)
                raise
        return confirms

    def _why(self, error: BaseException, where: str) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"RabbitMQ at {where} confirmed nothing within {self._timeouts.confirm:g} s:"
                " is one of its alarms on (memory, disk)?"
            )
        return in_words(error, where)
