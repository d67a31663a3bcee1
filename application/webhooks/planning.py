"""What is sent next to one endpoint. Nothing is read here, and nothing is written."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field, frozen

from application.ports.feed import FeedItem
from domain.ids import OrderId
from domain.orders.events import Event
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, Undelivered
from domain.webhooks.endpoint import Endpoint, Ordering
from domain.webhooks.progress import Progress

# How many deliveries a round has for each that may be on its way at once. Their outcomes share a transaction.
_DEPTH: Final = 8
# Between two looks at all deliveries of an endpoint that are due: a clock may have been wrong.
LOOK_AT_ALL: Final = timedelta(minutes=1)


@frozen
class Sending:
    """A delivery that is to be attempted. `is_new`: it isn't stored yet. `gap`: the receiver lacks an earlier event."""

    delivery: Delivery
    event: Event
    is_new: bool
    gap: bool = False


@define(eq=False)
class Plan:
    """The next round of one endpoint.

    The deliveries of a line are sent one after another, each only if the one before has arrived. Lines don't wait for
    each other. `aside` are deliveries that change without an attempt, and whether each is new.
    """

    endpoint: Endpoint
    progress: Progress
    # Where the endpoint will be, and how many events before that were not wanted, or could not be read any more.
    position: int
    # No open delivery of the endpoint is due earlier. None: nobody has looked.
    nothing_before: datetime | None = None
    filtered: int = 0
    lost: int = 0
    lines: list[list[Sending]] = field(factory=list)
    aside: list[tuple[Delivery, bool]] = field(factory=list)

    @property
    def is_strict(self) -> bool:
        return self.endpoint.ordering is Ordering.STRICT


def size_of(endpoint: Endpoint, progress: Progress, *, at: datetime) -> int:
    """How many deliveries a round has at most."""
    if progress.is_on_probation:
        return 1
    room = progress.room(endpoint.rate_per_s, at=at)
    most = endpoint.max_concurrency * _DEPTH
    return most if room is None else min(most, room)


@frozen(kw_only=True)
class Read:
    """What was read for a plan. `items` are the events up to the position `read_to`."""

    now: datetime
    # The types that the endpoint wants.
    wanted: frozenset[str]
    due: Sequence[Delivery]
    # The events of the deliveries that are due.
    events: dict[DeliveryId, Event]
    # All that has not arrived of the orders with a delivery that is due or an event that is new.
    undelivered: Sequence[Delivery]
    items: Sequence[FeedItem]
    read_to: int
    # The first position that can be read.
    oldest: int


def plan(endpoint: Endpoint, progress: Progress, read: Read) -> Plan:
    """Choose what is sent, the deliveries that are due before new ones."""
    lost = max(0, read.oldest - 1 - progress.position)
    made = Plan(endpoint, progress, progress.position + lost, lost=lost)
    orders = _Orders(made, read)
    for delivery in sorted(read.due, key=lambda each: each.id.position):
        event = read.events.get(delivery.id)
        if event is None or delivery.type not in read.wanted:
            orders.skip(delivery, Undelivered.TYPE_DESELECTED, is_new=False)
        else:
            orders.send(Sending(delivery, event, is_new=False))
    _take_new(made, read, orders, room=size_of(endpoint, progress, at=read.now) - len(read.due))
    made.lines += orders.lines.values()
    return made


def _take_new(made: Plan, read: Read, orders: "_Orders", *, room: int) -> None:
    for item in read.items:
        if item.position <= made.position:
            continue
        if item.event.type not in read.wanted:
            made.filtered += 1
        else:
            delivery = _new(made.endpoint, item, read.now)
            if item.position <= made.progress.skip_to:
                orders.skip(delivery, Undelivered.ENDPOINT_DISABLED, is_new=True)
            elif room <= 0:
                return
            else:
                room -= 1
                orders.send(Sending(delivery, item.event, is_new=True))
        made.position = item.position
    # There are no other events up to here.
    made.position = max(made.position, read.read_to)


def _new(endpoint: Endpoint, item: FeedItem, now: datetime) -> Delivery:
    event = item.event
    return Delivery(
        id=DeliveryId(endpoint.id, item.position),
        order_id=event.order_id,
        sequence=event.sequence,
        type=event.type,
        at=event.at,
        next_at=now,
    )


@define(eq=False)
class _Orders:
    """The lines of a plan. In strict order, an event waits until those of its order before it are out of the way."""

    _plan: Plan
    _read: Read
    lines: dict[object, list[Sending]] = field(factory=dict, init=False)
    _undelivered: dict[OrderId, list[Delivery]] = field(factory=lambda: defaultdict(list), init=False)
    _in_round: Collection[DeliveryId] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._in_round = {delivery.id for delivery in self._read.due}
        for delivery in self._read.undelivered:
            self._undelivered[delivery.order_id].append(delivery)

    def skip(self, delivery: Delivery, why: Undelivered, *, is_new: bool) -> None:
        delivery.skip(why, at=self._read.now)
        self._plan.aside.append((delivery, is_new))
        earlier = self._undelivered[delivery.order_id]
        self._undelivered[delivery.order_id] = [*(each for each in earlier if each.id != delivery.id), delivery]

    def send(self, sending: Sending) -> None:
        """Put it into a line, or aside."""
        delivery, now = sending.delivery, self._read.now
        if not self._plan.is_strict:
            self._line_up(sending, delivery.id, gap=False)
            return
        before = [each for each in self._undelivered[delivery.order_id] if each.id.position < delivery.id.position]
        missing = [each for each in before if _is_missing(each)]
        if delivery.is_slow(now):
            self._line_up(sending, delivery.id, gap=bool(missing))
            return
        blocking = [each for each in before if each.is_open and not each.is_slow(now) and each.id not in self._in_round]
        if blocking:
            # If the blocking one is due itself, there was only no place for it in this round.
            delivery.hold(until=max(now, blocking[0].slow_from or blocking[0].next_at or now))
            self._plan.aside.append((delivery, sending.is_new))
            # Those after it wait for the same.
            if sending.is_new:
                self._undelivered[delivery.order_id].append(delivery)
            self._in_round = {*self._in_round} - {delivery.id}
            return
        # An open one that is not slow is in the same line, and so it arrives first.
        gap = any(not each.is_open or each.is_slow(now) for each in missing)
        self._line_up(sending, delivery.order_id, gap=gap)

    def _line_up(self, sending: Sending, line: object, *, gap: bool) -> None:
        self.lines.setdefault(line, []).append(evolve(sending, gap=gap))


def _is_missing(earlier: Delivery) -> bool:
    """Whether a receiver that gets a later event of the order has to know that it lacks this one."""
    return earlier.status is not DeliveryStatus.DELIVERED and earlier.reason is not Undelivered.TYPE_DESELECTED
