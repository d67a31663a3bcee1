"""The payment provider, and its ledger."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from attrs import frozen

from domain.ids import PaymentId
from domain.money import Money


class PaymentDeclined(Exception):
    """The provider took no money, and will take none under this key."""


class PaymentProvider(Protocol):
    """Takes the money. For a key that it has seen before, it repeats the first answer and charges nothing.

    A call that takes too long is cancelled, and made again with the same key. Cancelling a call ends it at once. It may
    have taken effect, or still do so.
    """

    async def charge(self, key: PaymentId, amount: Money) -> str:
        """Return the provider's reference. Raise `PaymentDeclined`, or `Trouble`: then retry with the same key."""

    async def refund(self, key: PaymentId, amount: Money) -> None:
        """Give back what was charged under the key. Raise `Trouble`: then retry."""


@frozen(kw_only=True)
class ProviderReport:
    """How the calls of one process to the provider go. Moments are by its own clock.

    `silent_since` is None when calls succeed, or when there are none: then `failed_calls` is zero.
    """

    # The last answer.
    answered_at: datetime | None = None
    silent_since: datetime | None = None
    # Since then.
    failed_calls: int = 0


@frozen(kw_only=True)
class ProviderSilence:
    """No process has got an answer since then, and so many calls have failed."""

    since: datetime
    failed_calls: int


@frozen(kw_only=True)
class Charge:
    """A charge, as the provider has recorded it."""

    key: PaymentId
    amount: Money
    refunded: bool
    # By the provider's clock.
    at: datetime


class ProviderLedger(Protocol):
    """The provider's own record of charges and refunds. Raise `Unavailable`."""

    async def charges(self, *, after: PaymentId | None, limit: int) -> list[Charge]:
        """A page of charges, oldest first, after the charge with this key. None is on a later page again."""

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge]:
        """The charges made under these keys."""
