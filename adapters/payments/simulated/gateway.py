import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from enum import Enum, auto
from hashlib import blake2b
from random import Random
from typing import Any, Final

from attrs import define, field

from adapters.payments.simulated.ledger import Ledger, LedgerEntry, Outcome
from application.errors import OutcomeUnknown
from application.ports.environment import Clock
from application.ports.payments import Charge, PaymentDeclined
from domain.ids import PaymentId
from domain.money import Money

_DIGESTS: Final = 2**64


class UnknownCharge(ValueError):
    """Nothing was charged under the key, so nothing can be refunded."""


class AnotherAmount(ValueError):
    """The key was used with another amount: one key is one payment."""


class _Failure(Enum):
    BEFORE = auto()
    AFTER = auto()


def _is_range(_: object, __: object, delay: tuple[float, float]) -> None:
    if not 0 <= delay[0] <= delay[1]:
        raise ValueError(f"delay is a range of seconds, as in (0.1, 0.5), not {delay}")


def _is_rate(_: object, attribute: Any, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"{attribute.name.lstrip('_')} is between 0 and 1, not {rate}")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@define(eq=False)
class SimulatedGateway:
    """A provider for demos and tests, with its own ledger, that can be slow, decline, and fail.

    `delay` is the range of seconds that a call takes. `decline_rate` is the share of keys that are declined; the seed
    decides which ones. `failure_rate` is the share of calls that end in `OutcomeUnknown`: half of them before anything
    was done, and half after it.
    """

    _ledger: Ledger
    _delay: tuple[float, float] = field(default=(0.0, 0.0), kw_only=True, validator=_is_range)
    _decline_rate: float = field(default=0.0, kw_only=True, validator=_is_rate)
    _failure_rate: float = field(default=0.0, kw_only=True, validator=_is_rate)
    _seed: int = field(default=0, kw_only=True)
    _now: Clock = field(default=_utc_now, kw_only=True)
    _chance: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = Random(self._seed)  # noqa: S311 - a simulation must be repeatable

    async def charge(self, key: PaymentId, amount: Money) -> str:
        failure = await self._begin(key)
        declined = self._declines(key)
        entry = await self._ledger.enter(
            LedgerEntry(
                key=key,
                amount=amount,
                outcome=Outcome.DECLINED if declined else Outcome.CHARGED,
                reference=None if declined else f"sim-{key}",
                at=self._now(),
            )
        )
        if entry.amount != amount:
            raise AnotherAmount(f"payment {key} is of {_words(entry.amount)}; {_words(amount)} can't be charged for it")
        _fail_if(failure is _Failure.AFTER, key)
        if entry.reference is None:
            raise PaymentDeclined(f"payment {key} was declined")
        return entry.reference

    async def refund(self, key: PaymentId, amount: Money) -> None:
        """Also raise `UnknownCharge` or `AnotherAmount`: then a retry is no use."""
        failure = await self._begin(key)
        entry = await self._ledger.refund(key, amount)
        if entry is None:
            raise UnknownCharge(f"payment {key} is not known here: nothing was charged, nothing can be refunded")
        if entry.outcome is Outcome.DECLINED:
            raise UnknownCharge(f"payment {key} was declined: nothing was charged, nothing can be refunded")
        if entry.amount != amount:
            raise AnotherAmount(
                f"payment {key} is of {_words(entry.amount)}; {_words(amount)} can't be refunded for it"
            )
        _fail_if(failure is _Failure.AFTER, key)

    async def charges(self, *, after: PaymentId | None, limit: int) -> list[Charge]:
        charges: list[Charge] = []
        # Declined charges are in the ledger as well: a page with nothing else is not the last one.
        while len(charges) < limit and (entries := await self._ledger.page(after=after, limit=limit - len(charges))):
            charges += [_charge(entry) for entry in entries if entry.outcome is Outcome.CHARGED]
            after = entries[-1].key
        return charges

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge]:
        entries = await self._ledger.get_many(keys)
        return {key: _charge(entry) for key, entry in entries.items() if entry.outcome is Outcome.CHARGED}

    async def _begin(self, key: PaymentId) -> _Failure | None:
        """Wait as long as a call takes, and return how it will fail, if it fails later."""
        # All random numbers are drawn before the first await, so that they depend on the order of the calls alone.
        seconds, drawn = self._chance.uniform(*self._delay), self._chance.random()
        if seconds > 0:
            await asyncio.sleep(seconds)
        _fail_if(drawn < self._failure_rate / 2, key)
        return _Failure.AFTER if drawn < self._failure_rate else None

    def _declines(self, key: PaymentId) -> bool:
        digest = blake2b(f"{self._seed}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self._decline_rate * _DIGESTS


def _charge(entry: LedgerEntry) -> Charge:
    return Charge(key=entry.key, amount=entry.amount, refunded=entry.refunded, at=entry.at)


def _fail_if(fails: bool, key: PaymentId) -> None:  # noqa: FBT001 - it reads as a sentence
    if fails:
        raise OutcomeUnknown(f"the payment provider gave no answer for payment {key}")


def _words(amount: Money) -> str:
    return f"{amount.minor} minor units of {amount.currency}"
