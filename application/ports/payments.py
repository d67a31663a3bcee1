"""The provider that takes the money, and its books."""

from collections.abc import Collection
from typing import Protocol

from attrs import frozen

from domain.ids import PaymentId
from domain.money import Money


class PaymentDeclined(Exception):
    """The provider took no money, and never will under this key."""


class PaymentProvider(Protocol):
    """The provider that takes the money. A key that it has seen before gets the first answer again, and no charge."""

    async def charge(self, key: PaymentId, amount: Money) -> str:
        """Return the provider's reference. Raise `PaymentDeclined`, or `Trouble`: then ask again with the key."""

    async def refund(self, key: PaymentId, amount: Money) -> None:
        """Give back what was charged under the key. Raise `Trouble`: then ask again."""


@frozen(kw_only=True)
class Charge:
    """Money that the provider says it has taken."""

    key: PaymentId
    amount: Money
    refunded: bool


class ProviderLedger(Protocol):
    """The provider's own books. Raise `Unavailable`."""

    async def charges(self, *, after: PaymentId | None, limit: int) -> list[Charge]:
        """The oldest first; those that came after the charge of this key."""

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge]:
        """Those that were made under these keys."""
