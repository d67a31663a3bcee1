from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from attrs import define, evolve, field, frozen

from domain.ids import PaymentId
from domain.money import Money


class Outcome(StrEnum):
    """What the provider answered when it was first asked under a key."""

    CHARGED = "CHARGED"
    DECLINED = "DECLINED"


@frozen(kw_only=True)
class LedgerEntry:
    """What the provider has done under one key. `reference` is the provider's own id of a charge."""

    key: PaymentId
    amount: Money
    outcome: Outcome
    reference: str | None
    refunded: bool = False
    at: datetime

    def can_refund(self, amount: Money) -> bool:
        return self.outcome is Outcome.CHARGED and self.amount == amount


class Ledger(Protocol):
    """The provider's own record. What a method has returned is stored for good. Raise `Unavailable`."""

    async def enter(self, entry: LedgerEntry) -> LedgerEntry:
        """Store the entry if its key is new, and return the one stored under the key."""

    async def refund(self, key: PaymentId, amount: Money) -> LedgerEntry | None:
        """Mark a charge of this amount as refunded, and return the key's entry after that."""

    async def entries(self) -> list[LedgerEntry]:
        """All entries, oldest first."""

    async def page(self, *, after: PaymentId | None, limit: int) -> list[LedgerEntry]:
        """A page of entries, oldest first, after the entry with this key."""

    async def get_many(self, keys: Collection[PaymentId]) -> dict[PaymentId, LedgerEntry]: ...


@define(eq=False)
class MemoryLedger:
    """A ledger that ends with the process."""

    _entries: dict[PaymentId, LedgerEntry] = field(factory=dict, init=False)

    async def enter(self, entry: LedgerEntry) -> LedgerEntry:
        return self._entries.setdefault(entry.key, entry)

    async def refund(self, key: PaymentId, amount: Money) -> LedgerEntry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.can_refund(amount):
            entry = self._entries[key] = evolve(entry, refunded=True)
        return entry

    async def entries(self) -> list[LedgerEntry]:
        return list(self._entries.values())

    async def page(self, *, after: PaymentId | None, limit: int) -> list[LedgerEntry]:
        begin = 0 if after is None else list(self._entries).index(after) + 1
        return list(self._entries.values())[begin : begin + limit]

    async def get_many(self, keys: Collection[PaymentId]) -> dict[PaymentId, LedgerEntry]:
        return {key: self._entries[key] for key in keys if key in self._entries}
