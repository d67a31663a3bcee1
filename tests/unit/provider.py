import asyncio
from collections import deque
from collections.abc import Collection
from typing import Literal

from attrs import define, evolve, field

from application.ports.payments import Charge, PaymentDeclined, ProviderLedger
from domain.ids import PaymentId
from domain.money import Money
from tests.invariants import LedgerCharge
from tests.unit.builders import NOW


class Crash(BaseException):
    """The process stops here. No error handling may catch it."""


@define(eq=False)
class Provider:
    """A payment provider with its own ledger, and with the errors that a test gives it.

    A trouble is raised by one call, before it has taken effect (`before`) or after (`after`).
    """

    declines: bool = False
    before: deque[BaseException] = field(factory=deque)
    after: deque[BaseException] = field(factory=deque)
    _charges: dict[PaymentId, Charge] = field(factory=dict)
    _declined: set[PaymentId] = field(factory=set)

    @property
    def ledger(self) -> list[LedgerCharge]:
        return [LedgerCharge(key, charge.amount.minor, charge.refunded) for key, charge in self._charges.items()]

    @property
    def taken(self) -> int:
        """The sum of all charges that were not refunded, in minor units."""
        return sum(charge.minor for charge in self.ledger if not charge.refunded)

    async def charge(self, key: PaymentId, amount: Money) -> str:
        if self.before:
            raise self.before.popleft()
        if key not in self._charges and (self.declines or key in self._declined):
            self._declined.add(key)
            raise PaymentDeclined("the card was declined")
        self._charges.setdefault(key, Charge(key=key, amount=amount, refunded=False, at=NOW))
        if self.after:
            raise self.after.popleft()
        return f"ref-{key}"

    async def refund(self, key: PaymentId, amount: Money) -> None:
        if self.before:
            raise self.before.popleft()
        assert self._charges[key].amount == amount
        self._charges[key] = evolve(self._charges[key], refunded=True)
        if self.after:
            raise self.after.popleft()

    async def charges(self, *, after: PaymentId | None, limit: int) -> list[Charge]:
        if self.before:
            raise self.before.popleft()
        begin = 0 if after is None else list(self._charges).index(after) + 1
        return list(self._charges.values())[begin : begin + limit]

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge]:
        if self.before:
            raise self.before.popleft()
        return {key: self._charges[key] for key in keys if key in self._charges}

    def lose(self, key: PaymentId) -> None:
        """Delete the charge from the ledger."""
        del self._charges[key]

    def clear_decline(self, key: PaymentId) -> None:
        """Let the next charge under a declined key succeed, which no provider should do."""
        self._declined.discard(key)


@define(eq=False)
class Unruly:
    """A ledger that gives no answer, or the same charges again and again, as the test says."""

    _inner: ProviderLedger
    # How many calls are answered; the others wait for ever.
    answers: int = 1000
    # A page: always the first one. Pages: from the first one on, after the last.
    repeats: Literal["page", "pages"] | None = None
    asked: int = 0

    async def charges(self, *, after: PaymentId | None, limit: int) -> list[Charge]:
        await self._answer()
        page = [] if self.repeats == "page" else await self._inner.charges(after=after, limit=limit)
        return page or (await self._inner.charges(after=None, limit=limit) if self.repeats else [])

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge]:
        await self._answer()
        return await self._inner.charges_of(keys)

    async def _answer(self) -> None:
        self.asked += 1
        if self.asked > self.answers:
            await asyncio.Event().wait()
