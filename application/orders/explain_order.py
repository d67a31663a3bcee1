from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from operator import itemgetter
from typing import Final

from attrs import field, frozen

from application.intake.unrecorded import Unrecorded
from application.messaging.republish import last_requests
from application.orders.changing import known
from application.orders.legs import Leg, legs_of, webhook_leg
from application.orders.standing import NOT_RECORDED, Deadlines, Standing, held_up_by, needs_worker, standing_of
from application.ports.outbox import Waits
from application.ports.overview import Overview
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter
from domain.ids import OrderId
from domain.jobs.job import Job
from domain.orders.events import Event, OrderAccepted, event_id
from domain.orders.order import Order
from domain.webhooks.delivery import Delivery

# Looked through for the request of one order. They have no index by order, and a shop has few that wait.
_MOST_LETTERS: Final = 2000
# Shown at most: a shop may have a thousand receivers, and an order a dozen events.
_MOST_DELIVERIES: Final = 200


class StepKind(StrEnum):
    """What a step is about: `what` is the type of an event, and a sentence of the others."""

    EVENT = "event"
    # That was asked for before the order was recorded.
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
    # Of a webhook.
    delivery: Delivery | None = None


@frozen(kw_only=True)
class Explained:
    """An order, where it stands, and how it came there, step by step. `beside` has what else of it waits."""

    order: Order
    standing: Standing
    steps: Sequence[Step]
    beside: Sequence[str] = ()
    # The dead letter that its last request is, if it is one.
    letter_id: int | None = None


@frozen
class ExplainOrder:
    """Tell where an order stands, also a deleted one, what it waits for and why, from what the shop has stored.

    Raise `UnknownOrder` or `Unavailable`. Of more than 2,000 dead letters, the oldest are looked through.
    """

    _unit_of_work: UnitOfWork
    _unrecorded: Unrecorded
    _overview: Overview
    _deadlines: Deadlines
    _page: int = field(default=200, kw_only=True)

    async def __call__(self, order_id: OrderId) -> Explained:
        found = await self._read(order_id)
        if found is None:
            accepted = await self._unrecorded.get(order_id)
            # It may have been recorded between the two reads.
            found = await self._read(order_id) or await self._not_recorded(known(accepted, order_id))
        return found

    async def _not_recorded(self, order: Order) -> Explained:
        async with self._unit_of_work.reading() as tx:
            changes = await tx.jobs.changes_of({order.id})
        steps = [Step(order.created_at, StepKind.EVENT, OrderAccepted.type), *map(_asked, changes)]
        return Explained(order=order, standing=NOT_RECORDED, steps=steps, beside=[*map(_waiting_change, changes)])

    async def _read(self, order_id: OrderId) -> Explained | None:
        async with self._unit_of_work.reading() as tx:
            order = (await tx.orders.get_many({order_id})).get(order_id)
            if order is None:
                return None
            history = await tx.events.of_orders({order_id})
            in_feed = await tx.feed.given_at(order_id)
            waiting = await tx.outbox.waiting(order_id)
            changes = await tx.jobs.changes_of({order_id})
            request = last_requests(history).get(order_id)
            sent = await tx.webhook_deliveries.of_order(order_id, limit=_MOST_DELIVERIES)
            waits = waiting.get(event_id(request)) if request else None
            letter = None
            if request is not None and waits not in {Waits.OUTBOX, Waits.AT_ITS_QUEUE}:
                letter = await self._letter_of(tx, request)
        is_asked_for = needs_worker(order)
        held_up = held_up_by(request, waits, letter) if is_asked_for else None
        silence = await self._overview.provider_silence() if is_asked_for and held_up is None else None
        standing = standing_of(order, self._deadlines, held_up=held_up, silence=silence)
        others = [
            *map(_asked, changes),
            *(_sent(each, in_feed.get(each.sequence)) for each in sent if each.finished_at),
        ]
        if letter is not None:
            what = f"dead letter {letter.id}: {letter.message.reason}"
            others += [Step(letter.message.first_at, StepKind.DEAD_LETTER, what)]
        refused = sum(each is Waits.PUT_OFF for each in waiting.values())
        beside = [f"{refused} of its announcements wait: queues of others have refused them"] if refused else []
        return Explained(
            order=order,
            standing=standing,
            steps=_in_sequence(
                [Step(event.at, StepKind.EVENT, event.type, legs) for event, legs in legs_of(history, in_feed)], others
            ),
            letter_id=None if letter is None else letter.id,
            beside=[
                *beside,
                *map(_waiting_change, changes),
                *(_waiting_webhook(each) for each in sent if each.is_open),
            ],
        )

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
