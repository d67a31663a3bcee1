from collections.abc import Callable, Mapping

import pytest
from attrs import evolve

from domain.errors import IllegalTransition
from domain.payments.payment import Payment, PaymentStatus
from tests.unit.builders import PAYMENT, an_order, euros

VERBS: Mapping[str, Callable[[Payment], None]] = {
    "charge": lambda payment: payment.charge("ref-1"),
    "fail": lambda payment: payment.fail(),
    "refund": lambda payment: payment.refund(),
}
ALLOWED = {
    ("charge", PaymentStatus.REQUESTED): PaymentStatus.CHARGED,
    ("fail", PaymentStatus.REQUESTED): PaymentStatus.FAILED,
    ("refund", PaymentStatus.CHARGED): PaymentStatus.REFUNDED,
}


def a_payment(status: PaymentStatus) -> Payment:
    reference = "ref-0" if status in {PaymentStatus.CHARGED, PaymentStatus.REFUNDED} else None
    return Payment(id=PAYMENT, order_id=an_order().id, amount=euros(2500), status=status, provider_reference=reference)


@pytest.mark.parametrize("status", PaymentStatus)
def test_a_payment_has_a_reference_while_the_provider_took_its_money(status: PaymentStatus) -> None:
    payment = a_payment(status)
    with pytest.raises(ValueError, match=status.value):
        evolve(payment, provider_reference=None if payment.provider_reference else "ref-1")


@pytest.mark.parametrize("status", PaymentStatus)
@pytest.mark.parametrize("verb", VERBS)
def test_a_payment_goes_where_it_may_and_nowhere_else(verb: str, status: PaymentStatus) -> None:
    payment = a_payment(status)
    before = evolve(payment)
    if (verb, status) in ALLOWED:
        VERBS[verb](payment)
        assert payment.status is ALLOWED[verb, status]
    else:
        with pytest.raises(IllegalTransition, match=status.value):
            VERBS[verb](payment)
        assert payment == before


def test_a_charge_keeps_the_reference_of_the_provider() -> None:
    payment = a_payment(PaymentStatus.REQUESTED)
    payment.charge("ref-1")
    assert payment.provider_reference == "ref-1"
