"""What must be true when everything has drained: the four invariants, and the responses to the clients."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import define, evolve, field

from adapters.codecs.events import encode
from adapters.memory.store import MemoryStore
from application.intake.queue_orders import Queued
from application.jobs.kinds import BULK, RECONCILE
from application.messaging.subscriptions import QUEUE_OF
from application.operations.bulk import ITEMS
from application.orders.change_jobs import ChangeQueued
from application.ports.outbox import OutboxEntry
from application.reconciliation.runs import DISCREPANCIES
from domain.errors import IllegalTransition, NotForSale, PriceChanged, UnknownOrder, UnknownProduct
from domain.ids import OrderId, ProductId, UserId, first_payment_of
from domain.jobs.job import JobStatus
from domain.orders.details import OrderDetails
from domain.orders.events import (
    Event,
    EventId,
    OrderAccepted,
    OrderCancelled,
    OrderChangeRefused,
    OrderCompleted,
    OrderDetailsChanged,
    OrderExpired,
    OrderFailed,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    PaymentRequested,
)
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.invariants import LedgerCharge, history_findings, money_findings, stock_findings
from tests.simulation.broker import SimulatedQueue, is_poison
from tests.simulation.clients import BY_NAME, Answer, Diary, NothingDone, Refused
from tests.simulation.house import EXPIRY, LOOKS_FOR_OVERDUE
from tests.unit.builders import NOW

# Refusals of the catalogue as it is. A process may accept what another has refused, if it knows another catalogue.
_PASSING: Final = (UnknownProduct, NotForSale, PriceChanged)

# Each restart and each crash of a relay may repeat an announcement, and so may each refusal, ever more rarely.
_TOO_OFTEN = 40

BECOMES = {
    OrderPlaced: OrderStatus.PENDING,
    PaymentRequested: OrderStatus.PROCESSING,
    OrderPaid: OrderStatus.PAID,
    OrderFailed: OrderStatus.FAILED,
    OrderCancelled: OrderStatus.CANCELLED,
    OrderExpired: OrderStatus.EXPIRED,
    OrderCompleted: OrderStatus.COMPLETED,
    OrderRefunded: OrderStatus.REFUNDED,
}


def stock(store: MemoryStore) -> list[str]:
    counted: dict[ProductId, int] = defaultdict(int)
    for adjustment in store.adjustments:
        counted[adjustment.product_id] += adjustment.change
    return stock_findings(store.products.values(), store.orders.values(), counted)


def names(store: MemoryStore) -> list[str]:
    made = Counter(product.name for product in store.products.values() if product.name.startswith(BY_NAME))
    return [f"{count} products have the name {name!r}" for name, count in made.items() if count > 1]


def shop_data(store: MemoryStore, charges: Iterable[LedgerCharge]) -> list[str]:
    events = [store.events[id_] for id_ in sorted(store.events)]
    return [
        *stock(store),
        *names(store),
        *history_findings(store.orders.values(), events),
        *money_findings(list(store.orders.values()), charges),
    ]


# Seconds from a statement to the commit, if each call in between is slow.
_LONGEST_TRANSACTION: Final = 5.0


@define(eq=False)
class TimeToPay:
    """Whether customers had the time to pay, by a clock that nobody sets."""

    _since: dict[OrderId, float] = field(factory=dict, init=False)

    def too_short(
        self, orders: Iterable[Order], store: MemoryStore, now: float, away: Sequence[tuple[float, float]], steps: int
    ) -> Iterator[str]:
        """`away` are the outages of the database. Each of them, and each step of its clock, hides up to two looks."""
        hidden = (len(away) + steps) * 2 * LOOKS_FOR_OVERDUE.total_seconds()
        for order in orders:
            # An order is recorded some time before its commit.
            before = (store.now() - store.recorded_at[order.id]).total_seconds()
            since = self._since.setdefault(order.id, now - min(max(before, 0.0), _LONGEST_TRANSACTION))
            if order.status is OrderStatus.EXPIRED:
                lost = sum(max(min(end, now) - max(begin, since), 0.0) for begin, end in away)
                if now - since - lost < EXPIRY.total_seconds() - hidden - 0.001:
                    yield f"order {order.id} expired after {now - since:.3f} s, of which {lost:.3f} s were an outage"


def promises(store: MemoryStore, diary: Diary, *, queued: bool, forgets: bool) -> Iterator[str]:
    """Each order of a response exists once, and was as the response showed it.

    `forgets`: prices have changed, and the caches may forget what is queued. The copy that a retry queues then has the
    prices of its own time, and the copy that is recorded first counts (decision 054).

    Where orders are queued, an order may be refused because its product does not exist yet, or is not for sale at its
    price, and be accepted by a retry, whose response may be lost.
    """
    by_user: dict[UserId, list[Order]] = defaultdict(list)
    for order in store.orders.values():
        by_user[order.user_id].append(order)
    for request, answer in diary.wanted:
        found = by_user.pop(request.user_id, [])
        yield from _of_wish(request.user_id, answer, found, queued=queued)
        for order in found:
            if (first_payment_of(order.id) in store.payments) is not request.pay:
                yield f"user {request.user_id} wanted {'to pay' if request.pay else 'not to pay'} with order {order.id}"
    for orders in by_user.values():
        yield f"order {orders[0].id} was not requested"
    for _, answer in diary.wanted:
        if isinstance(answer, Order):
            yield from _as_agreed(answer, store, forgets=forgets)
    yield from _versions(store, diary)


def _of_wish(user_id: UserId, answer: object, found: Sequence[Order], *, queued: bool) -> Iterator[str]:
    if len(found) > 1:
        yield f"the request of user {user_id} became {len(found)} orders"
    if isinstance(answer, Refused) and not isinstance(answer.error, _PASSING):
        yield f"user {user_id} was refused for no reason: {answer.error}"
    passing = queued and isinstance(answer, Refused) and isinstance(answer.error, _PASSING)
    if isinstance(answer, Refused) and found and not passing:
        yield f"user {user_id} was refused, and order {found[0].id} exists"
    if isinstance(answer, NothingDone) and found:
        yield f"the answer to user {user_id} was that nothing was done, and order {found[0].id} exists"
    if isinstance(answer, Order) and [order.id for order in found] != [answer.id]:
        yield f"the answer to user {user_id} was order {answer.id}, which does not exist"


def _versions(store: MemoryStore, diary: Diary) -> Iterator[str]:
    for told in {(order.id, order.version): order for order in diary.told}.values():
        if (status := _status_at(store.events, told.id, told.version)) is not told.status:
            yield f"order {told.id} was said to be {told.status} in version {told.version}, and was {status}"


def accepted(store: MemoryStore, events: Iterable[OrderAccepted], *, forgets: bool) -> Iterator[str]:
    """Each order that the broker received is in the database."""
    for event in events:
        yield from _as_agreed(
            Order.place(
                order_id=event.order_id,
                user_id=event.user_id,
                lines=event.lines,
                details=event.details,
                at=event.at,
            )[0],
            store,
            forgets=forgets,
        )


def messages(store: MemoryStore, diary: Diary) -> Iterator[str]:
    """What was accepted is stored once, and what had no answer once or not at all."""
    stored = Counter(message.content for message in store.messages.values())
    for content, job_id in diary.said.items():
        if stored[content] > 1:
            yield f"{content!r} is stored {stored[content]} times"
        if job_id is not None and stored[content] == 0:
            yield f"{content!r} was accepted as job {job_id}, and is not stored"
    yield from (f"nobody said {content!r}" for content in stored if content not in diary.said)


def imports(store: MemoryStore, diary: Diary) -> Iterator[str]:
    """Each row of a file is done once, and told of once. Of an import without an answer, every row is done, or none."""
    moved = Counter(adjustment.reason for adjustment in store.adjustments)
    for name, (rows, job_id) in diary.imported.items():
        if moved[name] not in ({rows} if job_id is not None else {0, rows}):
            yield f"{name} has {rows} rows, of which {moved[name]} were done"
        told = store.files.get((job_id, "results")) if job_id is not None else None
        if told is not None and len(told.content.splitlines()) != rows:
            yield f"{name} has {rows} rows, and is told of otherwise: {told.content!r}"


def operations(store: MemoryStore, diary: Diary) -> Iterator[str]:
    """Under one key, one bulk operation is started, and once."""
    for key, ids in diary.operations.items():
        if len(ids) > 1:
            yield f"under the key {key.value} {len(ids)} bulk operations were started"
    started = Counter(entry.subject for entry in store.audit if entry.action == "bulk_operation.started")
    yield from (f"{subject} was started {times} times" for subject, times in started.items() if times > 1)


def bulk(store: MemoryStore) -> Iterator[str]:
    """Each item of a bulk operation is told of once, and each letter is decided once and told as done once."""
    done: Counter[int] = Counter()
    for job in store.jobs.values():
        kept = store.files.get((job.id, ITEMS))
        if job.kind != BULK:
            continue
        told = [json.loads(line) for line in kept.content.splitlines()] if kept is not None else []
        if len({each["id"] for each in told}) != len(told):
            yield f"bulk operation {job.id} tells of an item twice: {told}"
        if job.status is JobStatus.COMPLETED and len(told) != job.arguments["count"]:
            yield f"bulk operation {job.id} of {job.arguments['count']} items tells of {len(told)}"
        done.update(each["id"] for each in told if each["outcome"] in {"done", "open"})
    noted = Counter(entry.subject for entry in store.audit if entry.action == "dead_letter.decided")
    for letter in store.dead_letters.values():
        decided = int(letter.decision is not None)
        if (done[letter.id], noted[f"dead letter {letter.id}"]) != (decided, decided):
            yield (
                f"dead letter {letter.id} is {letter.decision}, was told as done {done[letter.id]} times,"
                f" and is in the audit {noted[f'dead letter {letter.id}']} times"
            )


def reconciliations(store: MemoryStore) -> Iterator[str]:
    """A run tells once of what it has found, and finds nothing that is not so, whatever happens meanwhile."""
    ended = Counter(entry.subject for entry in store.audit if entry.action == "reconciliation.repaired")
    for job in store.jobs.values():
        if job.kind == RECONCILE and job.status is JobStatus.DISCARDED and "the worker that" not in (job.error or ""):
            yield f"run {job.id} has failed by itself: {job.error}"
        if job.kind != RECONCILE or job.status is not JobStatus.COMPLETED:
            continue
        kept, result = store.files.get((job.id, DISCREPANCIES)), job.result or {}
        told = Counter(json.loads(line)["about"] for line in kept.content.splitlines()) if kept is not None else None
        if "found" not in result:
            yield f"run {job.id} is completed, and has no result"
            continue
        if told != Counter(result["found"]):
            yield f"run {job.id} has found {result['found']}, and tells of {told}"
        if ended[f"reconciliation {job.id}"] != int(job.arguments["repairs"]):
            yield f"run {job.id} is in the audit {ended[f'reconciliation {job.id}']} times as repaired"
        if wrong := {kind: result["found"][kind] for kind in ("stock", "history") if result["found"][kind]}:
            yield f"run {job.id} has found what is not so: {wrong}"


def exports(store: MemoryStore) -> Iterator[str]:
    """An export and the events after its position are everything: no version of an order is in neither."""
    positions = {(id_.order_id, id_.sequence): position for position, (id_, _) in store.feed.items()}
    for (job_id, name), kept in store.files.items():
        job = store.jobs.get(job_id)
        if name != "export" or job is None or job.status is not JobStatus.COMPLETED:
            continue
        head, *rows = map(json.loads, kept.content.splitlines())
        written = [(row.get("order_id", "head"), row.get("version", 0)) for row in rows]
        if twice := [id_ for id_, times in Counter(id_ for id_, _ in written).items() if times > 1 or id_ == "head"]:
            yield f"export {job_id} has {', '.join(twice)} twice"
        versions = Counter(dict(written))
        for order in store.orders.values():
            for version in range(versions[str(order.id)] + 1, order.version + 1):
                # What was deleted meanwhile need not be there.
                if positions.get((order.id, version), 0) <= head["as_of_position"] and not order.deleted:
                    yield f"export {job_id} as of {head['as_of_position']} lacks version {version} of order {order.id}"


def changes(store: MemoryStore, diary: Diary) -> Iterator[str]:
    """A change that was accepted is made, or refused by the rules, and none overtakes another of its client.

    The history of the order tells of a refusal, once.
    """
    told = Counter(event.job_id for event in store.events.values() if isinstance(event, OrderChangeRefused))
    yield from (f"the refusal of job {job_id} was told {times} times" for job_id, times in told.items() if times > 1)
    for job_id, order_id in diary.waiting.items():
        job = store.jobs.get(job_id)
        if job is None:
            yield f"a change of order {order_id} was accepted as job {job_id}, which is gone"
        elif job.status is JobStatus.DISCARDED and not _is_refusal(str(job.error), store.orders.get(order_id)):
            yield f"a change of order {order_id} was accepted, and came to nothing: {job.error}"
        elif job.status is JobStatus.DISCARDED and job_id not in told and not store.orders[order_id].deleted:
            yield f"a change of order {order_id} was refused, and its history does not tell so: {job.error}"
    cancelled = {event.order_id for event in store.events.values() if isinstance(event, OrderCancelled)}
    for order_id, asked in diary.hurried.items():
        verbs = [verb for verb, _ in asked]
        paid = next((at for at, (verb, taken) in enumerate(asked) if verb == "request_payment" and taken), None)
        if paid is not None and "cancel_order" not in verbs[:paid] and order_id in cancelled:
            yield f"order {order_id} was to be paid for, and then to be cancelled, and is CANCELLED: {asked}"


def _is_refusal(error: str, order: Order | None) -> bool:
    """Whether it is what the rules say to a change that comes too late."""
    is_gone = order is not None and order.deleted and error.startswith(UnknownOrder.code)
    return is_gone or error.startswith(IllegalTransition.code)


def unknown(store: MemoryStore, diary: Diary) -> Iterator[str]:
    """No order of a response was later answered as unknown."""
    for id_ in sorted(diary.unknown):
        if id_ in store.orders and not store.orders[id_].deleted:
            yield f"a client got order {id_} in an answer, and then that it is unknown"


def not_found(store: MemoryStore, diary: Diary) -> Iterator[str]:
    """A search finds every order that is in the database."""
    for id_ in sorted(diary.not_found):
        if id_ in store.orders and not store.orders[id_].deleted:
            yield f"order {id_} was in the database, and a search did not find it"


def _as_agreed(told: Order, store: MemoryStore, *, forgets: bool) -> Iterator[str]:
    found = store.orders.get(told.id)
    if found is None:
        yield f"order {told.id} was accepted, and is not in the database"
    elif _agreement(found, forgets=forgets) != _agreement(told, forgets=forgets):
        yield f"order {told.id} was agreed upon as {told}, and is {found}"
    elif _external_id(found) != _external_id(told):
        yield f"order {told.id} was named {_external_id(told)}, and is {_external_id(found)}"


def _agreement(order: Order, *, forgets: bool) -> object:
    if forgets:
        return order.user_id, [(line.product_id, line.quantity) for line in order.lines]
    return order.user_id, order.lines, order.total


def _external_id(order: Order) -> str | None:
    return order.details.external_id if order.details else None


def details(store: MemoryStore) -> Iterator[str]:
    """Each order has the details that its last event of them tells."""
    told: dict[OrderId, OrderDetails | None] = {}
    for id_ in sorted(store.events):
        event = store.events[id_]
        if isinstance(event, OrderPlaced | OrderDetailsChanged):
            told[event.order_id] = event.details
    for order in store.orders.values():
        if order.details != told.get(order.id):
            yield f"order {order.id} has {order.details}, and its events tell of {told.get(order.id)}"


def keys(store: MemoryStore, diary: Diary, *, queued: bool, forgets: bool) -> Iterator[str]:
    """All requests under one key got the same response, and no order has more payments than its client requested.

    Where orders are queued, two processes may accept the same order while the caches are gone. It is one order, and
    their responses differ only in the time, and in changed prices if the caches forget.
    """
    for key, every in diary.answers.items():
        answers = _lasting(every) if queued else every
        if any(not _are_the_same(answers[0], answer, queued=queued, forgets=forgets) for answer in answers[1:]):
            yield f"under the key {key.value!r} of {key.scope} this was answered: {answers}"
        if len({answer.job.id for answer in every if isinstance(answer, ChangeQueued)}) > 1:
            yield f"under the key {key.value!r} of {key.scope} a change was queued twice: {every}"
    for order_id, times in Counter(payment.order_id for payment in store.payments.values()).items():
        meant = diary.meant_to_pay[order_id] + (first_payment_of(order_id) in store.payments)
        if times > meant:
            yield f"order {order_id} was to be paid for {meant} times, and has {times} payments"


def _lasting(answers: list[Answer]) -> list[Answer]:
    """The final answers.

    An unknown order may be recorded later, the catalogue may change, and a queued change is made later.
    """
    passing = (UnknownOrder, *_PASSING)
    decided = [answer for answer in answers if not isinstance(answer, ChangeQueued)]
    lasting = [answer for answer in decided if not (isinstance(answer, Refused) and isinstance(answer.error, passing))]
    return lasting or decided


def _are_the_same(one: Answer, other: Answer, *, queued: bool, forgets: bool) -> bool:
    if isinstance(one, Refused) and isinstance(other, Refused):
        return one.error.code == other.error.code and str(one.error) == str(other.error)
    return _timeless(one, forgets=forgets) == _timeless(other, forgets=forgets) if queued else one == other


def _timeless(answer: Answer, *, forgets: bool) -> object:
    order = answer.order if isinstance(answer, Queued) else answer
    if not isinstance(order, Order):
        return order
    if forgets:
        return order.id, order.status, order.version, order.details, _agreement(order, forgets=True)
    return evolve(order, created_at=NOW, updated_at=NOW)


def _status_at(events: dict[EventId, Event], order_id: OrderId, version: int) -> OrderStatus | None:
    status: OrderStatus | None = None
    for sequence in range(1, version + 1):
        event = events.get(EventId(order_id, sequence))
        if event is None:
            return None
        status = BECOMES.get(type(event), status)
    return status


def work(store: MemoryStore, enqueued: Iterable[OutboxEntry]) -> Iterator[str]:
    """Every request came to its queue, and nothing else did."""
    came = {entry.id for entry in enqueued}
    for entry_id in sorted(came - store.events.keys()):
        yield f"event {entry_id.sequence} of order {entry_id.order_id} was enqueued, and never happened"
    for id_, event in store.events.items():
        if event.type in QUEUE_OF and id_ not in came:
            yield f"the {event.type} {id_.sequence} of order {id_.order_id} never came to its queue"


def publications(store: MemoryStore, announced: Iterable[OutboxEntry]) -> Iterator[str]:
    """Others heard of each event and of no other, and of those of an order in sequence."""
    came: dict[OrderId, list[int]] = defaultdict(list)
    for entry in announced:
        event = store.events.get(entry.id)
        if event is None:
            yield f"event {entry.id.sequence} of order {entry.id.order_id} was published, and never happened"
        elif encode(event) != entry.body:
            yield f"event {entry.id.sequence} of order {entry.id.order_id} was published as another"
        if entry.id.sequence not in came[entry.id.order_id]:
            came[entry.id.order_id].append(entry.id.sequence)
    for order in store.orders.values():
        if came[order.id] != list(range(1, order.version + 1)):
            yield f"order {order.id} has {order.version} events, and others heard of {came[order.id]}"


def repetitions(heard: Iterable[OutboxEntry]) -> Iterator[str]:
    """Nobody heard of an event again and again because somebody else refused it."""
    for (order_id, sequence), times in Counter(entry.id for entry in heard).items():
        if times > _TOO_OFTEN:
            yield f"event {sequence} of order {order_id} was announced {times} times"


def dead_letters(store: MemoryStore, queues: Iterable[SimulatedQueue]) -> Iterator[str]:
    """Every poison message is a dead letter, waits once, and nothing else is.

    One that is delivered once more after a decision is a new letter: nobody has decided about that.
    """
    kept = {(letter.consumer, letter.message.body) for letter in store.dead_letters.values()}
    waiting = Counter(
        (letter.consumer, letter.message.body) for letter in store.dead_letters.values() if letter.decision is None
    )
    for letter in store.dead_letters.values():
        if letter.event is None or not is_poison(letter.event):
            yield f"dead-lettered: {letter.message.body!r}: {letter.message.reason}"
    for (consumer, body), times in waiting.items():
        if times > 1:
            yield f"a dead letter of {consumer} is kept {times} times: {body!r}"
    for queue in queues:
        for body in sorted(queue.poison):
            if (queue.consumer, body) not in kept:
                yield f"a dead letter of {queue.consumer} was lost: {body!r}"
