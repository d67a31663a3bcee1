"""The payment provider as reconciliation asks it: within limits, since it may be slow, silent, or wrong."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TypeVar

from attrs import define, field

from application.errors import Trouble, Unavailable
from application.ports.payments import Charge, ProviderLedger
from domain.ids import PaymentId

T = TypeVar("T")


async def answered(call: Awaitable[T], *, within: float) -> T:
    """Return the provider's answer. Raise `Unavailable` if there is none within so many seconds."""
    try:
        async with asyncio.timeout(within):
            return await call
    except TimeoutError as error:
        raise Unavailable(f"the payment provider gave no answer within {within:g} s") from error


@define(eq=False)
class LedgerReads:
    """What one run reads of the provider's ledger. After a problem it reads nothing more: the rest is not compared.

    `call_timeout` is the time for one call, and `total_timeout` that for all calls of the run together, in seconds.
    """

    _ledger: ProviderLedger
    _call_timeout: float = field(kw_only=True)
    _total_timeout: float = field(default=math.inf, kw_only=True)
    # None: it is asked.
    problem: str | None = field(default=None, init=False)
    # The problem, if it is that a call failed.
    unreachable: str = field(default="", init=False)
    _has_told: bool = field(default=False, init=False)
    _waited: float = field(default=0.0, init=False)

    @property
    def finding(self) -> str | None:
        """What to tell a person of the problem."""
        what = "the payments and charges after that are not" if self._has_told else "no payment and no charge is"
        return self.problem and f"{self.problem}; {what} compared with it"

    async def try_once(self) -> None:
        """Find out whether it can be reached. The answer is compared with nothing."""
        await self._page(after=None, limit=1)

    async def pages(self, *, limit: int) -> AsyncIterator[list[Charge]]:
        """All charges, oldest first, up to a problem."""
        last: PaymentId | None = None
        # One key of each page is enough: pages that come again and again have the same ends.
        ends: set[PaymentId] = set()
        while charges := await self._page(after=last, limit=limit):
            last = charges[-1].key
            if last in ends:
                self.problem = "the payment provider gives the same charges again and again"
                return
            ends.add(last)
            self._has_told = True
            yield charges

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge] | None:
        """As the port has it. None after a problem: nothing is known of the charges."""
        charges = await self._ask(lambda: self._ledger.charges_of(keys))
        self._has_told |= charges is not None
        return charges

    async def _page(self, *, after: PaymentId | None, limit: int) -> list[Charge] | None:
        return await self._ask(lambda: self._ledger.charges(after=after, limit=limit))

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        if self.problem is not None:
            return None
        if self._waited > self._total_timeout:
            self.problem = f"the payment provider is too slow: its answers took {self._waited:.0f} s altogether"
            return None
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            answer = await answered(call(), within=self._call_timeout)
        except Trouble as error:
            self.problem = self.unreachable = f"the payment provider can't be reached: {error}"
            return None
        self._waited += loop.time() - begun
        return answer
