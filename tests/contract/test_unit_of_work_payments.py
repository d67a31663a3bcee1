from uuid import UUID

from application.ports.persistence import UnitOfWork
from domain.ids import PaymentId
from domain.money import MAX_MINOR, Money
from domain.payments.payment import Payment
from tests.contract.conftest import keep
from tests.unit.builders import a_product, an_order


def payment(number: int, *, order: int = 1) -> Payment:
    return Payment(
        id=PaymentId(UUID(int=number)), order_id=an_order(number=order).id, amount=Money(MAX_MINOR - number, "BHD")
    )


async def begin(unit_of_work: UnitOfWork, *payments: Payment) -> None:
    await keep(unit_of_work, products=[a_product()], orders=[an_order(number=number) for number in (1, 2, 3)])
    async with unit_of_work() as tx:
        await tx.payments.add_many(payments)


async def stored(unit_of_work: UnitOfWork, *payments: Payment) -> list[Payment]:
    async with unit_of_work.reading() as tx:
        return list((await tx.payments.get_many([payment.id for payment in payments])).values())


async def test_a_payment_is_read_as_it_was_written(unit_of_work: UnitOfWork) -> None:
    await begin(unit_of_work, payment(1))
    assert await stored(unit_of_work, payment(1)) == [payment(1)]


async def test_only_payments_that_exist_are_found(unit_of_work: UnitOfWork) -> None:
    await begin(unit_of_work, payment(1))
    assert await stored(unit_of_work, payment(2)) == []


async def test_what_became_of_each_payment_is_kept(unit_of_work: UnitOfWork) -> None:
    charged, failed, refunded = payment(1, order=1), payment(2, order=2), payment(3, order=3)
    await begin(unit_of_work, charged, failed, refunded)
    charged.charge("ch_1")
    failed.fail()
    refunded.charge("ch_ß")
    refunded.refund()
    async with unit_of_work() as tx:
        await tx.payments.save_many([refunded, charged, failed])
    assert {found.id: found for found in await stored(unit_of_work, charged, failed, refunded)} == {
        payment.id: payment for payment in (charged, failed, refunded)
    }


async def test_an_order_whose_payment_failed_may_have_another(unit_of_work: UnitOfWork) -> None:
    first, second = payment(1), payment(2)
    await begin(unit_of_work, first)
    first.fail()
    async with unit_of_work() as tx:
        await tx.payments.save_many([first])
        await tx.payments.add_many([second])
    assert {found.id for found in await stored(unit_of_work, first, second)} == {first.id, second.id}
