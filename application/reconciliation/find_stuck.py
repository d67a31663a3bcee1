from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

from application.messaging.republish import last_requests
from application.orders.expire_orders import PERIODS
from application.orders.read_each import readable_events, readable_orders
from application.orders.standing import SENT, held_up_by
from application.ports.environment import Clock
from application.ports.outbox import OutboxEntry, Waits
from application.ports.persistence import UnitOfWork, WaitingPlace
from application.reconciliation.discrepancies import Discrepancy, Remedy
from domain.dead_letter import DeadLetter
from domain.ids import OrderId
from domain.orders.events import Event, EventId, event_id
from domain.orders.order import Order
from domain.orders.time_to_pay import OpenPeriod, payable_for


@frozen
class FindStuck:
    """Find what is stuck, and why: old entries of the outbox, dead letters, and orders past their deadline.

    An unpaid order is stuck `stuck_after` past its `expiry`. An order that waits for the worker is stuck after
    `stuck_after`.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _expiry: timedelta
    _stuck_after: timedelta
    _page: int = field(default=500, kw_only=True)

    async def __call__(
        self, *, unreachable: str = "", told: Collection[OrderId | None] = frozenset()
    ) -> list[Discrepancy]:
        """`unreachable`: why the provider can't be reached, if so. Orders in `told` were reported: leave them out."""
        outbox = await self._outbox()
        letters = await self._letters()
        return [
            *await self._old([entry for entries in outbox.values() for entry in entries]),
            *map(_of_letter, letters),
            *await self._waiting(outbox, letters, unreachable, told),
            *await self._unpaid(),
        ]

    async def _outbox(self) -> dict[Waits, list[OutboxEntry]]:
        """What waits for a relay, and what its queue has refused."""
        found: dict[Waits, list[OutboxEntry]] = {}
        async with self._unit_of_work.reading() as tx:
            for waits, waiting in ((Waits.OUTBOX, tx.outbox), (Waits.AT_ITS_QUEUE, tx.waiting_work)):
                found[waits] = []
                last: int | None = None
                while page := await waiting.page(after=last, limit=self._page):
                    found[waits] += page
                    last = page[-1].position
        return found

    async def _letters(self) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        last: int | None = None
        async with self._unit_of_work.reading() as tx:
            while page := await tx.dead_letters.page(decided=False, after=last, limit=self._page):
                letters += page
                last = page[-1].id
        return letters

    async def _old(self, outbox: list[OutboxEntry]) -> list[Discrepancy]:
        """Entries that no relay takes. An entry has no date, so the date of its event counts."""
        now = self._now()
        found: list[Discrepancy] = []
        for begin in range(0, len(outbox), self._page):
            entries = outbox[begin : begin + self._page]
            async with self._unit_of_work.reading() as tx:
                events = await readable_events(tx, {entry.id.order_id for entry in entries})
            at = {event_id(event): event.at for event in events}
            found += [
                Discrepancy(
                    about="outbox",
                    order_id=entry.id.order_id,
                    what=f"{entry.type}, of {at[entry.id]:%Y-%m-%d %H:%M:%S}, waits for a relay: is one running,"
                    " and does it reach the broker?",
                )
                for entry in entries
                # Neither new, nor dated in the future by a clock that was wrong.
                if entry.id in at and abs(now - at[entry.id]) >= self._stuck_after
            ]
        return found

    async def _waiting(
        self,
        outbox: Mapping[Waits, Sequence[OutboxEntry]],
        letters: list[DeadLetter],
        unreachable: str,
        told: Collection[OrderId | None],
    ) -> list[Discrepancy]:
        sending = {entry.id: waits for waits, entries in outbox.items() for entry in entries}
        dead: dict[EventId, list[DeadLetter]] = {}
        for letter in letters:
            if letter.event is not None:
                dead.setdefault(event_id(letter.event), []).append(letter)
        now = self._now()
        found: list[Discrepancy] = []
        last: WaitingPlace | None = None
        while True:
            async with self._unit_of_work.reading() as tx:
                places = await tx.orders.waiting_since(
                    now - self._stuck_after, ahead=now + self._stuck_after, after=last, limit=self._page
                )
                ids = [id_ for _, id_ in places]
                orders = await readable_orders(tx, ids)
                requests = last_requests(await readable_events(tx, ids))
            if not places:
                return found
            found += [
                _of_waiting(order, requests.get(order.id), sending, dead, unreachable)
                for order in orders.values()
                if order.id not in told
            ]
            last = places[-1]

    async def _unpaid(self) -> list[Discrepancy]:
        found: list[Discrepancy] = []
        last: OrderId | None = None
        async with self._unit_of_work.reading() as tx:
            # While no worker runs, nobody notes that the shop is open. But customers could pay.
            noted = await tx.open_periods.newest(limit=PERIODS)
            since = noted[0].until if noted else datetime.min.replace(tzinfo=UTC)
            moment = payable_for(self._expiry + self._stuck_after, [OpenPeriod(since, self._now()), *noted])
            while moment and (ids := await tx.orders.unpaid_since(moment, after=last, limit=self._page)):
                what = "it is unpaid and past its expiry: is a worker running?"
                found += [Discrepancy(about="stuck", what=what, order_id=id_, remedy=Remedy.EXPIRE) for id_ in ids]
                last = ids[-1]
        return found


def _of_letter(letter: DeadLetter) -> Discrepancy:
    return Discrepancy(
        about="dead letter",
        order_id=letter.event.order_id if letter.event else None,
        what=f"dead letter {letter.id} of {letter.consumer} waits for a decision (`holdfast dead`):"
        f" {letter.message.reason}",
    )


def _of_waiting(
    order: Order,
    request: Event | None,
    sending: Mapping[EventId, Waits],
    dead: Mapping[EventId, Sequence[DeadLetter]],
    unreachable: str,
) -> Discrepancy:
    """Why an order waits, as far as it can be known from here. Only a request that may be lost is republished."""
    what = f"{order.status.value}, with no step since {order.updated_at:%Y-%m-%d %H:%M:%S}: "
    waits = sending.get(event_id(request)) if request else None
    # By the whole event: an unauthenticated message may have the id of a request that it is not.
    same = [letter for letter in dead.get(event_id(request), ()) if letter.event == request] if request else []
    held_up = held_up_by(request, waits, same[0] if same else None)
    what += (unreachable or SENT) if held_up is None else held_up.because
    remedy = Remedy.REPUBLISH if held_up is None else None
    return Discrepancy(about="stuck", what=what, order_id=order.id, remedy=remedy)
