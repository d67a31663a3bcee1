from enum import StrEnum
from typing import Final

from attrs import define, field, setters

from domain.errors import IllegalTransition
from domain.ids import OrderId, PaymentId
from domain.money import Money


class PaymentStatus(StrEnum):
    """How far one attempt to take money has got."""

    REQUESTED = "REQUESTED"
    CHARGED = "CHARGED"
    FAILED = "FAILED"
    REFUNDED = "REFUNDED"


# The provider took the money of these.
_TAKEN: Final = {PaymentStatus.CHARGED, PaymentStatus.REFUNDED}


@define(kw_only=True)
class Payment:
    """One attempt to take the money of one order. Its id is the key under which the provider charges once."""

    id: PaymentId = field(on_setattr=setters.frozen)
    order_id: OrderId = field(on_setattr=setters.frozen)
    amount: Money = field(on_setattr=setters.frozen)
    status: PaymentStatus = PaymentStatus.REQUESTED
    provider_reference: str | None = None

    def __attrs_post_init__(self) -> None:
        """Raise `ValueError` for what no verb leads to."""
        if (self.provider_reference is not None) != (self.status in _TAKEN):
            raise ValueError(f"payment {self.id} is {self.status.value}, with the reference {self.provider_reference}")

    def charge(self, provider_reference: str) -> None:
        """Record that the provider took the money."""
        self._become(PaymentStatus.CHARGED, after=PaymentStatus.REQUESTED)
        self.provider_reference = provider_reference

    def fail(self) -> None:
        """Record that no money was taken, and none will be under this id."""
        self._become(PaymentStatus.FAILED, after=PaymentStatus.REQUESTED)

    def refund(self) -> None:
        """Record that the provider gave the money back."""
        self._become(PaymentStatus.REFUNDED, after=PaymentStatus.CHARGED)

    def _become(self, status: PaymentStatus, *, after: PaymentStatus) -> None:
        if self.status is not after:
            raise IllegalTransition(f"a payment that is {self.status.value} cannot become {status.value}")
        self.status = status
