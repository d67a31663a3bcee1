"""What a bulk operation is: an act on many dead letters, or orders, that were there when it began."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

from attrs import asdict, evolve, field, frozen

from application.access.scopes import Scope
from application.execution.counting import MOST_COUNTED
from application.messaging.find_dead_letters import matching
from application.orders.filter_in_json import order_filter
from application.ports.audit import MAX_TEXT
from application.ports.order_search import OrderFilter
from application.ports.persistence import Transaction
from domain.dead_letter import InvalidDecision
from domain.dead_letter_groups import CauseFilter
from domain.errors import DomainError
from domain.ids import OrderId

# To retry an order is to ask for its payment again.
Act = Literal["replay", "discard", "cancel", "retry"]
ON_ORDERS: Final[frozenset[Act]] = frozenset({"cancel", "retry"})
# Each act needs the same scope as for one letter, or one order.
NEEDS: Final[Mapping[Act, Scope]] = MappingProxyType(
    {
        "replay": Scope.DEAD_LETTERS_REPLAY,
        "discard": Scope.DEAD_LETTERS_DISCARD,
        "cancel": Scope.ORDERS_WRITE,
        "retry": Scope.PAYMENTS_WRITE,
    }
)
# Whoever may start one may follow and stop it; of dead letters, whoever may replay.
LOOKS: Final[Mapping[Act, Scope]] = MappingProxyType({**NEEDS, "discard": Scope.DEAD_LETTERS_REPLAY})


def needs_of(arguments: Mapping[str, Any]) -> list[Scope]:
    """Return the scopes that starting a job with these arguments needs. To find orders is to read them."""
    return [NEEDS.get(arguments.get("act", ""), Scope.ADMIN), *_to_find(arguments)]


def looks_of(arguments: Mapping[str, Any]) -> list[Scope]:
    """Return the scopes that following and stopping a job with these arguments needs."""
    return [LOOKS.get(arguments.get("act", ""), Scope.ADMIN), *_to_find(arguments)]


def _to_find(arguments: Mapping[str, Any]) -> list[Scope]:
    return [Scope.ORDERS_READ] if "filter" in arguments.get("orders", {}) else []


# What can't be undone needs a reason.
_FINAL: Final[Mapping[Act, str]] = MappingProxyType(
    {"discard": "say why the messages are discarded", "cancel": "say why the orders are cancelled"}
)
# The most orders that may be named by their ids.
MOST_CHOSEN: Final = 100
# How many orders one statement looks through, and all statements together: a filter that few of very many orders match
# would take too long. 100,000 orders took up to 1.2 s, and a count has 2 s.
_STRETCH: Final = 10_000
MOST_LOOKED_THROUGH: Final = 50_000
# For more items than this, the count and the digest have to be sent back.
MOST_UNCONFIRMED: Final = 100
# The file with the ids of the items, as they were at the start, and the one with a line for what became of each.
CHOSEN: Final = "chosen"
ITEMS: Final = "items"


class CountNotConfirmed(DomainError):
    """There are many items, or others than were counted before, and their count and digest were not sent back."""

    code = "count_not_confirmed"


class FilterTooWide(DomainError):
    """More orders would have to be looked through than a person waits for."""

    code = "filter_too_wide"


class UnknownBulkOperation(DomainError):
    """There is no such operation, or it was removed some time after its end."""

    code = "unknown_bulk_operation"


@frozen(kw_only=True)
class ChosenOrders:
    """Orders that are named by their ids; or, without ids, those that a filter in JSON finds (`order_filter`)."""

    ids: tuple[OrderId, ...] = ()
    # Compared by what it means: times may be written in several ways.
    only: Mapping[str, Any] = field(factory=dict, eq=order_filter)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ChosenOrders":
        return cls(ids=tuple(OrderId(UUID(id_)) for id_ in stored.get("ids", ())), only=stored.get("filter", {}))

    def as_json(self) -> dict[str, Any]:
        return {"ids": list(map(str, self.ids))} if self.ids else {"filter": dict(self.only)}


@frozen(kw_only=True)
class BulkRequest:
    """`only` fits the act: causes of dead letters, or orders."""

    act: Act
    only: CauseFilter | ChosenOrders
    reason: str = ""

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "BulkRequest":
        """Return the request that a job was given."""
        only = (
            ChosenOrders.of(arguments["orders"])
            if arguments["act"] in ON_ORDERS
            else CauseFilter(**arguments["filter"])
        )
        return cls(act=arguments["act"], only=only, reason=arguments["reason"])

    def arguments(self) -> dict[str, Any]:
        chosen = (
            {"orders": self.only.as_json()} if isinstance(self.only, ChosenOrders) else {"filter": asdict(self.only)}
        )
        return {"act": self.act, **chosen, "reason": self.reason}

    def expect_valid(self) -> None:
        """Raise `InvalidDecision`."""
        if self.act in _FINAL and not self.reason:
            raise InvalidDecision(_FINAL[self.act], field="reason")
        if len(self.reason) > MAX_TEXT:
            raise InvalidDecision(f"a reason has at most {MAX_TEXT} characters", field="reason")


@frozen
class Confirmation:
    """What somebody was shown of the items before they are decided about, as far as it was sent back."""

    count: int | None = None
    digest: str | None = None


@frozen
class Measured:
    """The ids of the items, in their order. With `more`, there are others, which are left out."""

    ids: Sequence[int | str]
    more: bool

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def needs_count(self) -> bool:
        return self.count > MOST_UNCONFIRMED

    @property
    def digest(self) -> str:
        """A hash of the ids: while others come and go, their number may stay the same."""
        return sha256(json.dumps(self.ids).encode()).hexdigest()[:32]

    def expect(self, shown: Confirmation) -> None:
        """Raise `CountNotConfirmed` if these are not the items that were shown, or are many that nobody has seen."""
        if self.needs_count and None in {shown.count, shown.digest}:
            told = f"there are {self.count} of them: count them with `dry_run`, and send their count and digest"
            raise CountNotConfirmed(told, field="count")
        if shown.count not in {None, self.count}:
            raise CountNotConfirmed(f"there are {self.count} of them now", field="count")
        if shown.digest not in {None, self.digest}:
            raise CountNotConfirmed(f"there are {self.count} of them, and not the same ones any more", field="digest")


async def measure(tx: Transaction, only: CauseFilter | ChosenOrders) -> Measured:
    """Raise `FilterTooWide`, or `InvalidDecision` for orders that neither ids nor a condition chooses."""
    ids = await (_orders(tx, only) if isinstance(only, ChosenOrders) else _letters(tx, only))
    return Measured(ids[:MOST_COUNTED], more=len(ids) > MOST_COUNTED)


async def _letters(tx: Transaction, only: CauseFilter) -> list[int | str]:
    ids: list[int | str] = []
    async for letter in matching(tx, only):
        ids.append(letter.id)
        if len(ids) > MOST_COUNTED:
            break
    return ids


async def _orders(tx: Transaction, chosen: ChosenOrders) -> list[int | str]:
    """Return the orders, newest first. One that is named is an item, also if it is not there: its result says so."""
    if chosen.ids:
        return [str(id_) for id_ in dict.fromkeys(chosen.ids)]
    wanted, before = order_filter(chosen.only), None
    if wanted == OrderFilter():
        raise InvalidDecision("choose the orders by their ids, or by a condition that is not empty", field="orders")
    ids: list[int | str] = []
    for _ in range(MOST_LOOKED_THROUGH // _STRETCH):
        # One more than is taken tells that there are others.
        limit = MOST_COUNTED + 1 - len(ids)
        found = await tx.orders.search_ids(wanted, before=before, limit=limit, stretch=_STRETCH)
        ids += map(str, found.ids)
        before = found.looked_to
        if before is None:
            return ids
    raise FilterTooWide(
        f"{MOST_LOOKED_THROUGH:,} orders or more would have to be looked through: narrow the filter, as by a customer,"
        " one status, or a time",
        field="orders",
    )


@frozen(kw_only=True)
class BulkState:
    """How far an operation is. It is stored with the results, in the transaction of the act.

    The first `taken` items were taken. Those `in_flight` were replayed, or their payment was asked for, and what came
    of it is not known yet. `outcomes` counts the others. `stopped` says why no further item is taken, if that is so.
    """

    taken: int = 0
    wave: int = 0
    in_flight: Sequence[int | str] = ()
    outcomes: Mapping[str, int] = field(factory=dict)
    stopped: str = ""
    whole: bool = False

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "BulkState":
        return cls(**stored)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "in_flight": list(self.in_flight), "outcomes": dict(self.outcomes)}

    def counting(self, outcomes: Sequence[str]) -> "BulkState":
        counts = dict(self.outcomes)
        for outcome in outcomes:
            counts[outcome] = counts.get(outcome, 0) + 1
        return evolve(self, outcomes=counts)

    @property
    def told(self) -> int:
        """How many items have an outcome."""
        return sum(self.outcomes.values())
