import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from operator import itemgetter
from typing import Final, TypeVar

from attrs import define, field, frozen

from application.errors import BrokenRow, Trouble
from application.intake.unrecorded import Unrecorded
from application.messaging.republish import last_requests
from application.orders.changing import known
from application.orders.legs import Leg, legs_of, webhook_leg
from application.orders.standing import (
    NOT_RECORDED,
    UNKNOWN_PLACE,
    Deadlines,
    Standing,
    held_up_by,
    needs_worker,
    standing_of,
)
from application.ports.outbox import Waits
from application.ports.overview import Overview
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter
from domain.ids import OrderId
from domain.jobs.job import Job
from domain.orders.events import Event, OrderAccepted, event_id
from domain.orders.order import Order
from domain.webhooks.delivery import Delivery

T = TypeVar("T")

# Seconds that a part of the explanation may take: beyond the time that a statement waits for a lock.
_PATIENCE: Final = 10.0
# Looked through for the request of one order. They have no index by order, and a shop has few that wait.
_MOST_LETTERS: Final = 2000
# Parts that tell where a request is.
_OUTBOX: Final = "what of it waits in the outbox"
_LETTERS: Final = "the dead letters"
# Shown at most: a shop may have a thousand receivers, and an order a dozen events.
_MOST_DELIVERIES: Final = 200


class StepKind(StrEnum):
    """What a step is about. Of an event, `what` is the type; of all others, it is a sentence."""

    EVENT = "event"
    # A change that was asked for before the order was recorded.
    CHANGE = "change"
    WEBHOOK = "webhook"
    DEAD_LETTER = "dead_letter"


@frozen
class Step:
    """Something that has happened to an order, or was asked for and waits, and what its time went into."""

    at: datetime
    kind: StepKind
    what: str
    legs: Sequence[Leg] = ()
    # Only a webhook has one.
    delivery: Delivery | None = None


@frozen(kw_only=True)
class Explained:
    """An order, where it stands, and how it came there, step by step.

    `beside` has what else of it waits, and what can't be read now.
    """

    order: Order
    standing: Standing
    steps: Sequence[Step]
    beside: Sequence[str] = ()
    # The dead letter that its last request is, if it is one.
    letter_id: int | None = None


@frozen
class ExplainOrder:
    """Tell where an order stands, also a deleted one, what it waits for and why, from what the shop has stored.

    Raise `UnknownOrder` or `Trouble`. The order and its history are needed. Anything else that can't be read within
    `patience` seconds, for example because its table is locked, is named. Of more than 2,000 dead letters, the oldest
    are looked through.
    """

    _unit_of_work: UnitOfWork
    _unrecorded: Unrecorded
    _overview: Overview
    _deadlines: Deadlines
    _page: int = field(default=200, kw_only=True)

    async def __call__(self, order_id: OrderId, *, patience: float = _PATIENCE) -> Explained:
        found = await self._read(order_id, patience)
        if found is None:
            accepted = await self._unrecorded.get(order_id)
            # It may have been recorded between the two reads.
            found = await self._read(order_id, patience) or await self._not_recorded(
                known(accepted, order_id), patience
            )
        return found

    async def _not_recorded(self, order: Order, patience: float) -> Explained:
        parts = _Parts(self._unit_of_work, patience)
        changes = await parts.ask("what was asked for meanwhile", lambda tx: tx.jobs.changes_of({order.id})) or []
        steps = [Step(order.created_at, StepKind.EVENT, OrderAccepted.type), *map(_asked, changes)]
        beside = [*map(_waiting_change, changes), *parts.unread.values()]
        return Explained(order=order, standing=NOT_RECORDED, steps=steps, beside=beside)

    async def _read(self, order_id: OrderId, patience: float) -> Explained | None:
        async with self._unit_of_work.reading() as tx:
            order = (await tx.orders.get_many({order_id})).get(order_id)
            if order is None:
                return None
            history = await tx.events.of_orders({order_id})
        parts = _Parts(self._unit_of_work, patience)
        in_feed, changes, sent, (standing, refused, letter) = await asyncio.gather(
            parts.ask("when its events came into the feed", lambda tx: tx.feed.given_at(order_id)),
            parts.ask("what was asked for and waits", lambda tx: tx.jobs.changes_of({order_id})),
            parts.ask("its webhooks", lambda tx: tx.webhook_deliveries.of_order(order_id, limit=_MOST_DELIVERIES)),
            self._stand(parts, order, history),
        )
        in_feed, changes, sent = in_feed or {}, changes or [], sent or []
        others = [
            *map(_asked, changes),
            *(_sent(each, in_feed.get(each.sequence)) for each in sent if each.finished_at),
        ]
        if letter is not None:
            what = f"dead letter {letter.id}: {letter.message.reason}"
            others += [Step(letter.message.first_at, StepKind.DEAD_LETTER, what)]
        return Explained(
            order=order,
            standing=standing,
            steps=_in_sequence(
                [Step(event.at, StepKind.EVENT, event.type, legs) for event, legs in legs_of(history, in_feed)], others
            ),
            letter_id=None if letter is None else letter.id,
            beside=[
                *([f"{refused} of its announcements wait: queues of others have refused them"] if refused else []),
                *map(_waiting_change, changes),
                *(_waiting_webhook(each) for each in sent if each.is_open),
                *parts.unread.values(),
            ],
        )

    async def _stand(
        self, parts: "_Parts", order: Order, history: Sequence[Event]
    ) -> tuple[Standing, int, DeadLetter | None]:
        """Where it stands, how many of its announcements were refused, and the dead letter that its request is."""
        request, is_asked_for = last_requests(history).get(order.id), needs_worker(order)
        waiting = await parts.ask(_OUTBOX, lambda tx: tx.outbox.waiting(order.id))
        waits = waiting.get(event_id(request)) if waiting and request else None
        letter = None
        if request is not None and waiting is not None and waits not in {Waits.OUTBOX, Waits.AT_ITS_QUEUE}:
            letter = await parts.ask(_LETTERS, lambda tx: self._letter_of(tx, request))
        held_up = held_up_by(request, waits, letter) if is_asked_for else None
        if is_asked_for and held_up is None and parts.unread.keys() & {_OUTBOX, _LETTERS}:
            held_up = UNKNOWN_PLACE
        silence = None
        if is_asked_for and held_up is None:
            silence = await parts.within("what is heard of the provider", self._overview.provider_silence())
        refused = sum(each is Waits.PUT_OFF for each in (waiting or {}).values())
        return standing_of(order, self._deadlines, held_up=held_up, silence=silence), refused, letter

    async def _letter_of(self, tx: Transaction, request: Event) -> DeadLetter | None:
        seen, last = 0, None
        while seen < _MOST_LETTERS and (
            page := await tx.dead_letters.page(decided=False, after=last, limit=self._page)
        ):
            for letter in page:
                # By the whole event: an unauthenticated message may have the id of a request that it is not.
                if letter.event == request:
                    return letter
            seen, last = seen + len(page), page[-1].id
        return None


@define(eq=False)
class _Parts:
    """Reads each part of an explanation apart, so that one that can't be read holds up no other."""

    _unit_of_work: UnitOfWork
    # Seconds for all of them.
    _patience: float
    # What a person is told of a part, by its name.
    unread: dict[str, str] = field(factory=dict, init=False)
    _until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._until = asyncio.get_running_loop().time() + self._patience

    async def ask(self, name: str, read: Callable[[Transaction], Awaitable[T]]) -> T | None:
        async def work() -> T:
            async with self._unit_of_work.reading() as tx:
                return await read(tx)

        return await self.within(name, work())

    async def within(self, name: str, work: Awaitable[T]) -> T | None:
        """Return None for what can't be had in time."""
        try:
            async with asyncio.timeout_at(self._until):
                return await work
        except (Trouble, BrokenRow, TimeoutError) as error:
            why = str(error) or f"no answer within {self._patience:g} s"
            self.unread[name] = f"{name} can't be read now: {why}"
            return None


def _in_sequence(events: Sequence[Step], others: Sequence[Step]) -> list[Step]:
    """Events stay as they followed each other, whatever the clocks said. The others come between them by their time."""
    reached = accumulate((step.at for step in events), max)
    placed = [*zip(reached, events, strict=True), *((step.at, step) for step in others)]
    return [step for _, step in sorted(placed, key=itemgetter(0))]


def _sent(delivery: Delivery, in_feed: datetime | None) -> Step:
    why = f": {delivery.reason}" if delivery.reason else ""
    told = f"webhook {delivery.type} to endpoint {delivery.id.endpoint_id} is {delivery.status.value}{why}"
    legs = webhook_leg(in_feed, delivery.finished_at)
    return Step(delivery.finished_at or delivery.at, StepKind.WEBHOOK, told, legs, delivery)


def _waiting_webhook(delivery: Delivery) -> str:
    why = delivery.reason or delivery.outcome or "not tried yet"
    return f"the webhook {delivery.type} to endpoint {delivery.id.endpoint_id} waits as delivery {delivery.id} ({why})"


def _asked(job: Job) -> Step:
    return Step(job.created_at, StepKind.CHANGE, f"the change '{job.arguments.get('change')}' was asked for")


def _waiting_change(job: Job) -> str:
    why = f" ({job.error})" if job.error else ""
    return f"the change '{job.arguments.get('change')}' waits as job {job.id}{why}"
