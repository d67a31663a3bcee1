"""Example orders, for trying out a shop: placed as customers place them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.execution.idempotency import Keyed, KeyInFlight, Outcome, Replayed
from application.intake.order_request import NumberedRequest, OrderRequest, RequestedItem
from application.jobs.add_job import AddJob, StartedJob, with_arguments
from application.jobs.kinds import SEED_ORDERS, Progress
from application.ports.audit import AuditEntry
from application.ports.broken import sound
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.errors import DomainError, InvalidOrder
from domain.ids import UserId
from domain.jobs.job import Job
from domain.orders.order import Order

MOST: Final = 100_000

_BATCH: Final = 50
_PRODUCTS: Final = 200
_CUSTOMERS: Final = 1000
_PERIOD: Final = timedelta(days=90)
# The share of orders that are paid for at once; the others expire, as those of real customers do.
_PAID: Final = 0.8

# Places numbered requests, each for itself.
Place = Callable[[Sequence[NumberedRequest | Keyed[NumberedRequest]]], Awaitable[Sequence[Outcome]]]


@frozen
class SeedOrders:
    """Accept the wish for so many example orders, from 1 to `MOST`. Return the job that places them."""

    _unit_of_work: UnitOfWork
    _add_job: AddJob

    async def __call__(self, by: Principal, call: int | Keyed[int]) -> StartedJob:
        count = call.call if isinstance(call, Keyed) else call
        if not 1 <= count <= MOST:
            raise InvalidOrder(f"count is between 1 and {MOST}", field="count")
        async with self._unit_of_work() as tx:
            started = await self._add_job.within(tx, by, SEED_ORDERS, with_arguments(call, {"count": count}))
            if not started.replayed:
                entry = AuditEntry(
                    at=started.job.created_at,
                    by=caller_of(by),
                    action="seed.started",
                    subject=f"job {started.id}",
                    after={"count": count},
                )
                await tx.audit.add_many([entry])
        return started


@frozen
class PlaceExamples:
    """The handler of the job. Each order is placed under a key made from the job's id, so that it is placed once."""

    _unit_of_work: UnitOfWork
    _place: Place

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any] | None:
        count: int = job.arguments["count"]
        products = await self._for_sale()
        progress.total, placed, refused = count, 0, 0
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            outcomes = await self._place([_example(job, number, products) for number in numbers])
            for outcome in outcomes:
                answer = outcome.answer if isinstance(outcome, Replayed) else outcome
                if isinstance(answer, KeyInFlight):
                    raise answer
                placed += isinstance(answer, Order)
                refused += isinstance(answer, DomainError)
            progress.done = numbers[-1] + 1
        return {"placed": placed, "refused": refused}

    async def _for_sale(self) -> list[Product]:
        async with self._unit_of_work.reading() as tx:
            listed = await tx.products.page(after=None, limit=_PRODUCTS)
        found = [product for product in sound(listed) if product.active]
        if not found:
            raise InvalidOrder("there are no products that could be ordered: add some first")
        # An order has one currency.
        return [product for product in found if product.price.currency == found[0].price.currency]


def _example(job: Job, number: int, products: Sequence[Product]) -> Keyed[NumberedRequest]:
    """The same for the same job and number, so that a second attempt asks for the same orders."""
    chance = Random(f"{job.id}/{number}")  # noqa: S311 - an example is no secret
    bought = chance.sample(products, min(len(products), chance.choice((1, 1, 1, 2, 3))))
    items = tuple(RequestedItem(product.id, chance.choice((1, 1, 2, 3))) for product in bought)
    # Most customers order once, and some again and again.
    customer = UserId(1 + int(_CUSTOMERS * chance.random() ** 2))
    request = OrderRequest(customer, items, pay=chance.random() < _PAID)
    key = IdempotencyKey(f"seed {job.id}", str(number))
    at = job.created_at - _PERIOD * chance.random()
    return Keyed(NumberedRequest(key.order_id, at, request), key, "seed")
