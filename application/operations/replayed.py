"""What came of replayed messages: done, by what their orders or jobs say, or a dead letter once more."""

from collections.abc import Collection, Sequence
from typing import Final

from application.operations.results import DONE, FAILED, CameOf, ItemResult
from application.orders.read_each import readable_orders
from application.ports.persistence import Transaction
from domain.dead_letter import DeadLetter
from domain.dead_letter_groups import Cause, cause_in
from domain.ids import JobId
from domain.orders.events import (
    Event,
    EventId,
    OrderAccepted,
    OrderChangeAccepted,
    PaymentRequested,
    RefundRequested,
    event_id,
)
from domain.orders.order import Order

_PAGE: Final = 500


async def came_of_replays(tx: Transaction, ids: Collection[int], *, since: int) -> CameOf:
    """Tell which messages were processed, and which are dead letters again.

    `since` is the id of the newest letter before the replay. The same error in the same queue stops the operation.
    """
    letters = await tx.dead_letters.get_many(ids)
    events = {id_: letter.event for id_, letter in letters.items() if letter.event is not None}
    # A replayed message may be a dead letter just because its order is broken.
    orders = await readable_orders(tx, {event.order_id for event in events.values()})
    changes = {event.job_id for event in events.values() if isinstance(event, OrderChangeAccepted)}
    recorded = (await tx.jobs.get_many(changes)).keys()
    again = await _dead_again(tx, [letters[id_] for id_ in events], since)
    done = {
        id_: ItemResult(id_, DONE)
        for id_, event in events.items()
        if _is_done(event, orders.get(event.order_id), recorded)
    }
    failed = {id_: ItemResult(id_, FAILED, _in_words(cause)) for id_, cause in again.items()}
    repeated = sorted(cause for id_, cause in again.items() if (cause.queue, cause.error) == _failure(letters[id_]))
    stopped = f"the same failure came again: {repeated[0].error}" if repeated else ""
    return CameOf({**done, **failed}, stopped)


def _in_words(cause: Cause) -> str:
    return f"it failed again: {cause.error}{f' in {cause.place}' if cause.place else ''}"


def _failure(letter: DeadLetter) -> tuple[str, str]:
    cause = cause_in(letter.consumer, letter.message.reason)
    return cause.queue, cause.error


async def _dead_again(tx: Transaction, replayed: Sequence[DeadLetter], since: int) -> dict[int, Cause]:
    # Looked up by the id of the event, and then compared as a whole: an edited copy may have the same id.
    by_event: dict[tuple[str, EventId], list[DeadLetter]] = {}
    for each in replayed:
        if each.event is not None:
            by_event.setdefault((each.consumer, event_id(each.event)), []).append(each)
    found: dict[int, Cause] = {}
    while summaries := await tx.dead_letters.summaries(decided=True, after=since, limit=_PAGE):
        since = summaries[-1].id
        letters = await tx.dead_letters.get_many({each.id for each in summaries})
        for letter in letters.values():
            same = [] if letter.event is None else by_event.get((letter.consumer, event_id(letter.event)), [])
            cause = cause_in(letter.consumer, letter.message.reason)
            found |= {each.id: cause for each in same if each.event == letter.event}
    return found


def _is_done(event: Event, order: Order | None, recorded: Collection[JobId]) -> bool:
    if isinstance(event, OrderChangeAccepted):
        # From here on, it is a job like any other, and may have to wait for its order.
        return event.job_id in recorded
    if order is None:
        return False
    match event:
        case OrderAccepted():
            return order.lines == event.lines
        case PaymentRequested():
            return order.payment_id != event.payment_id or not order.charge_is_due
        case RefundRequested():
            return not order.refund_is_due
    return True
