import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from attrs import frozen

from application.messaging.consumer import Consumer, Handled
from application.messaging.dead_letters import RecordDeadLetters
from application.messaging.republish import RepublishRequests
from application.orders.expire_orders import ExpireOrders
from domain.orders.events import OrderAccepted, PaymentRequested, RefundRequested
from entrypoints.loops import Stop, Turn, repeat

_LOOK_OFTEN: Final = 0.2
_LOOK_SELDOM: Final = 30.0
# Seconds after which a batch that isn't done yet no longer keeps the next one of its queue waiting. A batch costs as
# much as many orders, and waiting makes it larger; but one that waits for a slow provider is not waited for.
_APART: Final = 0.05


@frozen(kw_only=True)
class Worker:
    """Records what was accepted, takes payments and gives refunds, lets unpaid orders expire, drives on the stuck.

    What can't be processed it brings into the table of dead letters.
    """

    intake: Consumer[OrderAccepted]
    payments: Consumer[PaymentRequested]
    refunds: Consumer[RefundRequested]
    dead_letters: Sequence[RecordDeadLetters]
    expire_orders: ExpireOrders
    republish_requests: RepublishRequests
    expiry: timedelta
    stuck_after: timedelta
    batches: int

    async def run(self, stop: Stop) -> None:
        """Work until told to stop; what is in flight then is finished."""
        async with asyncio.TaskGroup() as tasks:
            for name, consumer in (("intake", self.intake), ("payments", self.payments), ("refunds", self.refunds)):
                consume = partial(_consume, consumer, asyncio.Lock(), stop)
                for _ in range(self.batches):
                    tasks.create_task(repeat(consume, stop, name=name))
            for record in self.dead_letters:
                tasks.create_task(repeat(partial(_record, record, stop), stop, name="dead_letters"))
            tasks.create_task(repeat(self._expire, stop, name="expiry"))
            tasks.create_task(repeat(self._resume, stop, name="resume"))

    async def _expire(self) -> float:
        log = structlog.get_logger("holdfast.expiry")
        report = await self.expire_orders()
        if report.expired:
            log.info("orders expired", count=len(report.expired))
        for order_id, error in report.failed:
            log.error("an order could not expire", order_id=str(order_id), reason=str(error))
        # An order is late by a tenth of its time at most.
        return max(_LOOK_OFTEN, min(self.expiry.total_seconds() / 10, _LOOK_SELDOM))

    async def _resume(self) -> float:
        resumed = await self.republish_requests(idle=self.stuck_after)
        if resumed:
            structlog.get_logger("holdfast.resume").warning("orders that waited too long go on", count=resumed)
        return self.stuck_after.total_seconds()


async def _consume(
    consumer: Consumer[OrderAccepted] | Consumer[PaymentRequested] | Consumer[RefundRequested],
    one_begins: asyncio.Lock,
    stop: Stop,
) -> float:
    async with Turn(one_begins) as turn:
        deliveries = await stop.until_first(consumer.receive())
        turn.end_after(_APART)
        if deliveries:
            _tell(await consumer.handle(deliveries))
    return 0


async def _record(dead_letters: RecordDeadLetters, stop: Stop) -> float:
    deliveries = await stop.until_first(dead_letters.receive())
    if deliveries:
        await dead_letters.record(deliveries)
    return 0


def _tell(handled: Handled) -> None:
    log = structlog.get_logger("holdfast.worker")
    log.debug("deliveries handled", done=handled.done, later=len(handled.later), aside=len(handled.aside))
    for delivery, error in handled.later:
        log.warning(
            "a delivery is tried again later",
            type=delivery.event.type,
            order_id=str(delivery.event.order_id),
            attempt=delivery.attempt,
            reason=str(error),
        )
    for delivery, error in handled.aside:
        log.error(
            "a delivery was set aside as a dead letter",
            type=delivery.event.type,
            order_id=str(delivery.event.order_id),
            attempt=delivery.attempt,
            exc_info=error,
        )
