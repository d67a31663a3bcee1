import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from attrs import define, evolve, field

from adapters.codecs.events import decode, encode
from application.errors import Unavailable
from application.messaging.subscriptions import INTAKE, QUEUE_OF, RETRY_DELAYS, WORK_QUEUES
from application.ports.messaging import DeadDelivery, Delivery
from application.ports.outbox import OutboxEntry
from domain.dead_letter import DeadMessage
from domain.ids import JobId, OrderId, PaymentId
from domain.money import Money
from domain.orders.events import (
    Event,
    EventId,
    OrderAccepted,
    OrderChangeAccepted,
    PaymentRequested,
    RefundRequested,
    event_id,
)
from tests.simulation.faults import Faults
from tests.unit.builders import NOW

_FORGED: Final = "0" * 64
_UNKNOWN_ORDER: Final = OrderId(UUID(int=0x0195_5000_0000_7000_8000_FFFF_FFFF_FFFF))


@define(eq=False)
class _Message:
    event: Event
    attempt: int = 1
    failures: int = 0
    # The connection that has it, or the delay that it waits for; None while it waits in the queue.
    held_by: object = None


@define(eq=False)
class _Dead:
    message: DeadMessage
    held_by: object = None


@define(eq=False)
class SimulatedDeadLetters:
    """The dead letters of one consumer, until they are acked. Sometimes one is here twice."""

    _faults: Faults
    messages: list[_Dead] = field(factory=list)
    _arrived: asyncio.Event = field(factory=asyncio.Event)

    def put(self, message: DeadMessage) -> None:
        self.messages.append(_Dead(message))
        if self._faults.happens(self._faults.weather.duplicates):
            self.messages.append(_Dead(message))
        self._arrived.set()

    def give_back(self, by: object) -> None:
        for dead in self.messages:
            if dead.held_by is by:
                dead.held_by = None
        self._arrived.set()

    async def take(self, by: object, limit: int) -> list[_Dead]:
        """A process that has unacked ones gets the same again, and no other process does."""
        while True:
            found = [dead for dead in self.messages if dead.held_by is by]
            found += [dead for dead in self.messages if dead.held_by is None]
            if found:
                for dead in found[:limit]:
                    dead.held_by = by
                return found[:limit]
            self._arrived.clear()
            await self._arrived.wait()


@define(eq=False)
class DeadLetterConnection:
    """One process's connection to the dead letters."""

    _dead_letters: SimulatedDeadLetters
    _faults: Faults

    async def receive(self, limit: int) -> list[DeadDelivery]:
        if self._faults.happens(self._faults.weather.redeliveries):
            self.lose()
        return [DeadDelivery(dead.message, tag=dead) for dead in await self._dead_letters.take(self, limit)]

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        # A delivery that was lost with its connection comes again as another delivery.
        for delivery in deliveries:
            dead = delivery.tag
            if isinstance(dead, _Dead) and dead.held_by is self and dead in self._dead_letters.messages:
                self._dead_letters.messages.remove(dead)

    def lose(self) -> None:
        self._dead_letters.give_back(self)


@define(eq=False)
class SimulatedQueue:
    """The messages for one consumer, until they are settled: waiting ones and delivered ones."""

    _faults: Faults
    consumer: str
    messages: dict[int, _Message] = field(factory=dict)
    dead_letters: SimulatedDeadLetters = field(init=False)
    # The messages that must be in the table of dead letters in the end, as bytes.
    poison: set[bytes] = field(factory=set)
    _last: int = 0
    _arrived: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.dead_letters = SimulatedDeadLetters(self._faults)

    @property
    def empty(self) -> bool:
        return not self.messages and not self.dead_letters.messages

    def put_poison(self, event: Event) -> None:
        poison = evolve(event, order_id=_UNKNOWN_ORDER)
        if isinstance(poison, OrderAccepted):
            # Its total is not that of its lines, or its lines have prices that the shop never asked.
            poison = evolve(poison, total=poison.total + poison.total)
            if self._faults.happens(0.5):
                lines = tuple(evolve(line, unit_price=Money(1, line.unit_price.currency)) for line in poison.lines)
                total = Money(sum(line.quantity for line in lines), poison.total.currency)
                poison = evolve(poison, lines=lines, total=total)
        self.poison.add(encode(poison))
        self.put(poison)

    def lose_everything(self) -> None:
        lost = [encode(message.event) for message in self.messages.values()]
        lost += [dead.message.body for dead in self.dead_letters.messages]
        self.poison -= set(lost)
        self.messages.clear()
        self.dead_letters.messages.clear()

    def put(self, event: Event, attempt: int = 1) -> None:
        self._last += 1
        self.messages[self._last] = _Message(event, attempt)
        self._arrived.set()

    def put_later(self, event: Event, *, attempt: int, failures: int = 0, delay: float) -> None:
        # Until then it can't be received, and is not lost.
        self._last += 1
        number, message = self._last, _Message(event, attempt, failures, held_by=RETRY_DELAYS)
        self.messages[number] = message
        asyncio.get_running_loop().call_later(delay, self.give_back, message)

    def give_back(self, message: _Message) -> None:
        message.held_by = None
        self._arrived.set()

    async def take(self, by: "QueueConnection", limit: int) -> list[tuple[int, _Message]]:
        while True:
            waiting = [(number, message) for number, message in self.messages.items() if message.held_by is None]
            if waiting:
                if self._faults.happens(self._faults.weather.duplicates):
                    self._faults.chance.shuffle(waiting)
                for _, message in waiting[:limit]:
                    message.held_by = by
                return waiting[:limit]
            self._arrived.clear()
            await self._arrived.wait()


@define(eq=False)
class QueueConnection:
    """One process's connection to a queue. Its unsettled deliveries come again when the process ends."""

    _queue: SimulatedQueue
    _faults: Faults

    async def receive(self, limit: int) -> list[Delivery]:
        if self._faults.happens(self._faults.weather.redeliveries):
            self.lose()
        taken = await self._queue.take(self, limit)
        return [
            Delivery(message.event, message.attempt, (number, message), message.failures) for number, message in taken
        ]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._settle(delivery)

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        self._settle(delivery)
        delay = RETRY_DELAYS[min(delivery.attempt, len(RETRY_DELAYS)) - 1]
        self._queue.put_later(delivery.event, attempt=delivery.attempt + 1, failures=delivery.failures, delay=delay)

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        self._settle(delivery)
        self._faults.tell(f"dead-lettered: {delivery.event.type} {delivery.event.order_id}: {reason}")
        now = NOW + timedelta(seconds=asyncio.get_running_loop().time())
        self._queue.dead_letters.put(
            DeadMessage(
                body=encode(delivery.event), reason=reason, attempts=delivery.attempt, first_at=now, last_at=now
            )
        )

    def lose(self) -> None:
        """The connection was lost: its deliveries come again, and can't be settled through it."""
        for message in self._queue.messages.values():
            if message.held_by is self:
                self._queue.give_back(message)

    def _settle(self, delivery: Delivery) -> None:
        number, message = delivery.tag  # type: ignore[misc] - it was made here
        if self._queue.messages.get(number) is not message:
            return  # The broker was emptied meanwhile: there is nothing to settle.
        if message.held_by is not self:
            raise Unavailable("the connection that brought this was lost")
        del self._queue.messages[number]


@define(eq=False)
class SimulatedBroker:
    """Keeps confirmed events, and delivers them until they are settled, sometimes twice or out of order."""

    _faults: Faults
    # What the foreign queue that may be full has got, the events that others heard, and the requests in our own queues.
    announced: list[OutboxEntry] = field(factory=list)
    heard: list[OutboxEntry] = field(factory=list)
    # Whether the stranger's queue is full, and refuses what `Weather.refuses` names.
    refuses: bool = True
    enqueued: list[OutboxEntry] = field(factory=list)
    accepted: list[OrderAccepted] = field(factory=list)
    # By the name of the consumer.
    queues: dict[str, SimulatedQueue] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.queues = {work.name: SimulatedQueue(self._faults, work.name) for work in WORK_QUEUES}

    @property
    def empty(self) -> bool:
        return all(queue.empty for queue in self.queues.values())

    async def intake_is_empty(self) -> bool:
        return not self.queues[INTAKE.name].messages

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return self._confirmed(entries, self._put)

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        self.heard += entries
        full = self._faults.weather.refuses if self.refuses else ()
        return self._confirmed([entry for entry in entries if entry.type not in full], self._hear)

    def enqueue_now(self, event: Event) -> None:
        """Take work that did not come through the outbox."""
        if event.type in QUEUE_OF:
            self._put(OutboxEntry(0, event_id(event), event.type, encode(event)))

    def lose_everything(self) -> None:
        """Lose all messages: an operator emptied the broker, or its process ended.

        Accepted orders stay: they are nowhere else, and can't be republished.
        """
        self._faults.tell("the broker has lost what waited in it")
        for name, queue in self.queues.items():
            if name != "intake":
                queue.lose_everything()

    def _confirmed(self, entries: Sequence[OutboxEntry], take: Callable[[OutboxEntry], object]) -> list[OutboxEntry]:
        weather, happens = self._faults.weather, self._faults.happens
        returned: list[OutboxEntry] = []
        for entry in entries:
            if happens(weather.unconfirmed):
                self._faults.tell(f"not confirmed: {_named(entry.id)} {entry.type}")
                if happens(0.5):
                    take(entry)
                continue
            take(entry)
            returned.append(entry)
        return returned

    def _put(self, entry: OutboxEntry) -> None:
        queue, event = self.queues[QUEUE_OF[entry.type].name], decode(entry.body)
        if isinstance(event, OrderAccepted):
            self.accepted.append(event)
        elif not isinstance(event, OrderChangeAccepted):
            self.enqueued.append(entry)
        queue.put(event)
        if self._faults.happens(self._faults.weather.duplicates):
            queue.put_later(event, attempt=1, delay=5 * self._faults.chance.random())
        if self._faults.happens(self._faults.weather.poison):
            queue.put_poison(event)

    def _hear(self, entry: OutboxEntry) -> None:
        self.announced.append(entry)
        if self._faults.happens(self._faults.weather.strangers):
            self._forge(entry)

    def _forge(self, entry: OutboxEntry) -> None:
        """A stranger who hears of an order asks for money that nobody asked for, under ids that may come."""
        chance, order_id = self._faults.chance, entry.id.order_id
        kind, queue = chance.choice(((PaymentRequested, "payments"), (RefundRequested, "refunds")))
        forged = kind(
            order_id=order_id,
            sequence=chance.choice((entry.id.sequence, entry.id.sequence + 1, entry.id.sequence + 2, 2**31 - 1)),
            at=NOW,
            payment_id=PaymentId(UUID(int=chance.getrandbits(128))),
            amount=Money(chance.choice((0, 1, 10**9)), chance.choice(("EUR", "USD"))),
        )
        self._faults.tell(f"forged: {_named(event_id(forged))} {forged.type}")
        self.queues[queue].put_later(forged, attempt=1, delay=chance.random() / 2)
        if self._faults.weather.intake == "direct":
            return
        change = OrderChangeAccepted(
            order_id=order_id,
            at=NOW,
            job_id=JobId(UUID(int=chance.getrandbits(128))),
            asked=chance.choice(('{"change":"cancel"}', '{"change":"refund"}', '{"change":"delete"}')),
            signature=_FORGED,
        )
        self.queues[INTAKE.name].poison.add(encode(change))
        self.queues[INTAKE.name].put_later(change, attempt=1, delay=chance.random() / 2)


def is_poison(event: Event) -> bool:
    is_forged = isinstance(event, OrderChangeAccepted) and event.signature == _FORGED
    return is_forged or event.order_id == _UNKNOWN_ORDER


def _named(id_: EventId) -> str:
    return f"{id_.order_id.hex[-4:]}.{id_.sequence}"
