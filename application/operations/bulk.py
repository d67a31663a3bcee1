"""What a bulk operation is: an act on the dead letters of some causes that were there when it began."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from attrs import asdict, evolve, field, frozen

from application.access.scopes import Scope
from application.execution.counting import MOST_COUNTED
from application.messaging.find_dead_letters import matching
from application.ports.audit import MAX_TEXT
from application.ports.persistence import Transaction
from domain.dead_letter import InvalidDecision
from domain.dead_letter_groups import CauseFilter
from domain.errors import DomainError

Act = Literal["replay", "discard"]
# Each act needs the same scope as for one letter.
NEEDS: Final[Mapping[Act, Scope]] = MappingProxyType(
    {"replay": Scope.DEAD_LETTERS_REPLAY, "discard": Scope.DEAD_LETTERS_DISCARD}
)
# Of more items than this, the count has to be sent back.
MOST_UNCONFIRMED: Final = 100
# The file with the ids of the items, as they were at the start, and the one with a line for what became of each.
CHOSEN: Final = "chosen"
ITEMS: Final = "items"


class CountNotConfirmed(DomainError):
    """There are many items, or other ones than were counted before, and their count was not sent back."""

    code = "count_not_confirmed"


class UnknownBulkOperation(DomainError):
    """There is no such operation, or it was removed some time after its end."""

    code = "unknown_bulk_operation"


@frozen(kw_only=True)
class BulkRequest:
    act: Act
    only: CauseFilter
    reason: str = ""

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "BulkRequest":
        """Return the request that a job was given."""
        return cls(act=arguments["act"], only=CauseFilter(**arguments["filter"]), reason=arguments["reason"])

    def arguments(self) -> dict[str, Any]:
        return {"act": self.act, "filter": asdict(self.only), "reason": self.reason}

    def expect_valid(self) -> None:
        """Raise `InvalidDecision`."""
        if self.act == "discard" and not self.reason:
            raise InvalidDecision("say why the messages are discarded", field="reason")
        if len(self.reason) > MAX_TEXT:
            raise InvalidDecision(f"a reason has at most {MAX_TEXT} characters", field="reason")


@frozen
class Measured:
    """The ids of the items, in their order. With `more`, there are others, which are left out."""

    ids: Sequence[int]
    more: bool

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def needs_count(self) -> bool:
        return self.count > MOST_UNCONFIRMED


async def measure(tx: Transaction, only: CauseFilter) -> Measured:
    ids: list[int] = []
    async for letter in matching(tx, only):
        if len(ids) == MOST_COUNTED:
            return Measured(ids, more=True)
        ids.append(letter.id)
    return Measured(ids, more=False)


@frozen(kw_only=True)
class BulkState:
    """How far an operation is. It is stored with the results, in the transaction of the act.

    All items up to `after` were taken. Those `in_flight` were replayed, and nothing is known yet of what came of them.
    `outcomes` counts the others. `stopped` says why no further item is taken, if that is so.
    """

    after: int = 0
    wave: int = 0
    in_flight: Sequence[int] = ()
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
        """Of how many items the outcome is told."""
        return sum(self.outcomes.values())
