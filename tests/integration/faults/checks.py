"""What must be true after a fault: the four invariants of the data, and the responses to the clients."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from attrs import define, field

from domain.ids import OrderId
from domain.orders.events import EVENT_TYPES
from tests.integration.faults import readers
from tests.integration.faults.clients import Diary, Told
from tests.integration.faults.house import Shop
from tests.simulation.checks import BECOMES

_STATUS: Final = {kind.type: status.value for kind, status in BECOMES.items()}
assert _STATUS.keys() <= {kind.type for kind in EVENT_TYPES}


@define
class Findings:
    """The findings: lost data, repeated effects, and whatever else is wrong."""

    lost: list[str] = field(factory=list)
    doubled: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)

    def all(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.wrong]


async def look_through(house: Shop, diary: Diary) -> Findings:
    """Everything has drained, so the data has to be consistent to the last event."""
    await house.listen()
    async with house.sql() as connection:
        orders = await connection.fetch("SELECT id, user_id, status, version FROM orders")
        events = await connection.fetch("SELECT order_id, sequence, type FROM order_events ORDER BY order_id, sequence")
    histories: dict[UUID, list[str]] = {}
    for event in events:
        histories.setdefault(event["order_id"], []).append(event["type"])
    found = Findings()
    _wishes(found, diary, Counter(order["user_id"] for order in orders))
    _told(found, diary.told, histories)
    _published(found, histories, house.heard)
    charged = Counter(charge.key for charge in await house.service.charges() if not charge.refunded)
    found.doubled += [f"payment {key} was charged {times} times" for key, times in charged.items() if times > 1]
    found.wrong += await house.service.findings()
    found.wrong += readers.findings(house.readers, histories)
    return found


def _wishes(found: Findings, diary: Diary, by_customer: Counter[int]) -> None:
    told = {told.customer for told in diary.told}
    for customer in diary.wanted:
        if by_customer[customer] > 1:
            found.doubled.append(f"the request of customer {customer} became {by_customer[customer]} orders")
        if not by_customer[customer] and customer in told:
            found.lost.append(f"customer {customer} got a response with an order that does not exist")


def _told(found: Findings, told: Iterable[Told], histories: Mapping[UUID, Sequence[str]]) -> None:
    """Each response to a client shows the order as it was in that version."""
    for order in {(each.order_id, each.version): each for each in told}.values():
        history = histories.get(UUID(order.order_id), [])
        if len(history) < order.version:
            found.lost.append(
                f"order {order.order_id} has {len(history)} events, and a response had version {order.version}"
            )
            continue
        statuses = [_STATUS[type_] for type_ in history[: order.version] if type_ in _STATUS]
        if statuses[-1:] != [order.status]:
            found.wrong.append(f"order {order.order_id} was said to be {order.status}, and was {statuses}")


def _published(
    found: Findings, histories: Mapping[UUID, Sequence[str]], heard: Mapping[OrderId, Sequence[int]]
) -> None:
    """Each event was published, those of an order in sequence, and no other."""
    for order_id, history in histories.items():
        # Sequence 0 is `order.accepted`. It is no part of the history, and may come at any time, or not at all.
        came = [sequence for sequence in dict.fromkeys(heard.get(OrderId(order_id), ())) if sequence]
        expected = list(range(1, len(history) + 1))
        if missing := set(expected) - set(came):
            found.lost.append(f"the events {sorted(missing)} of order {order_id} were never published")
        elif came != expected:
            found.wrong.append(f"the events of order {order_id} were published as {came}")
