import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from attrs import evolve, frozen

from application.assembly.use_cases import UseCases
from application.messaging.consumer import Consumer, Handled
from application.messaging.record_dead_letters import RecordDeadLetters
from application.messaging.subscriptions import QUEUE_OF
from application.ports.messaging import Delivery
from entrypoints.alive import RELAY, WORKER
from entrypoints.broker import queues_declared
from entrypoints.connections import open_container
from entrypoints.container import Container
from entrypoints.heartbeat import an_api_is_at_work, heard_of
from entrypoints.loops import Stop, Turn, repeat
from entrypoints.own_ledger import expect_own_ledger
from entrypoints.programs.caches import fence_watched
from entrypoints.programs.metrics import database_sampled, metrics_served
from entrypoints.programs.relay import relay
from entrypoints.programs.starting import expect_provider, freeze_objects, tell_of_servers
from entrypoints.schema import expect_schema
from entrypoints.settings import Settings

# Seconds after which the next batch of a queue begins beside an unfinished one. Waiting makes batches larger and so
# cheaper, but a batch that waits for a slow provider must not hold up the others.
_APART: Final = 0.05
# Seconds between two looks for jobs while there are none, and between two removals of old ones.
_LOOK_FOR_JOBS: Final = 1.0
_REMOVE_JOBS: Final = 3600.0


async def _is_open() -> bool:
    return True


@frozen(kw_only=True)
class Worker:
    """Processes every queue, records dead letters, expires unpaid orders, and republishes lost requests.

    `batches` is the number of batches of one queue that are processed at once. `is_open` tells whether customers can
    pay: while no API is at work, their time to pay does not pass.
    """

    use_cases: UseCases
    stuck_after: timedelta
    batches: int
    is_open: Callable[[], Awaitable[bool]] = _is_open

    async def run(self, stop: Stop) -> None:
        """Work until the stop, and finish the batches in flight."""
        async with asyncio.TaskGroup() as tasks:
            for consumer in self.use_cases.consumers:
                tasks.create_task(self._work_off(consumer, stop))
            for record in self.use_cases.record_dead_letters:
                tasks.create_task(repeat(partial(_record, record, stop), stop, name="dead_letters"))
            tasks.create_task(self._run_jobs(stop))
            tasks.create_task(repeat(self._remove_jobs, stop, name="jobs"))
            tasks.create_task(repeat(self.expire, stop, name="expiry"))
            tasks.create_task(repeat(self._republish, stop, name="republish"))
            if self.use_cases.prune_keys is not None:
                tasks.create_task(repeat(self.use_cases.prune_keys, stop, name="keys"))

    async def _work_off(self, consumer: Consumer, stop: Stop) -> None:
        """Take deliveries until the stop, and settle all that were taken, also those that wait for a slow server."""
        name, all_settled = consumer.work.name, Stop()
        consume, settle = partial(_consume, consumer, asyncio.Lock(), stop), partial(_settle, consumer, all_settled)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(repeat(settle, all_settled, name=name))
                async with asyncio.TaskGroup() as taking:
                    for _ in range(self.batches):
                        taking.create_task(repeat(consume, stop, name=name))
                await consumer.nothing_is_late()
                all_settled.set()
        finally:
            await consumer.close()

    async def _run_jobs(self, stop: Stop) -> None:
        """Run jobs until the stop. Those in progress then go back to the others, and begin anew."""
        try:
            await repeat(self._jobs_step, stop, name="jobs")
        finally:
            await self.use_cases.run_jobs.stop()

    async def _jobs_step(self) -> float:
        log, run_jobs = structlog.get_logger("holdfast.jobs"), self.use_cases.run_jobs
        ended = await run_jobs()
        for each in ended:
            told = {"job_id": str(each.id), "kind": each.kind}
            if each.error is not None:
                status = each.job.status.value if each.job else "not recorded, and begins anew"
                log.warning("an attempt at a job failed", **told, status=status, reason=str(each.error))
            elif each.job is None:
                log.info("a job was taken away from this worker", **told)
            else:
                log.debug("a job has ended", **told, status=each.job.status.value)
        return 0 if ended or not run_jobs.is_idle else _LOOK_FOR_JOBS

    async def _remove_jobs(self) -> float:
        log = structlog.get_logger("holdfast.jobs")
        if removed := await self.use_cases.remove_jobs():
            log.info("jobs that ended long ago were removed", count=removed)
        if removed := await self.use_cases.remove_deliveries():
            log.info("deliveries of webhooks that ended long ago were removed", count=removed)
        if removed := await self.use_cases.remove_files():
            log.info("exports that were written long ago were removed", count=removed)
        if removed := await self.use_cases.remove_sessions():
            log.debug("ends of sessions of the console were removed, since they would be over by now", count=removed)
        return _REMOVE_JOBS

    async def expire(self) -> float:
        """Return the seconds until the next look."""
        log, look_every = structlog.get_logger("holdfast.expiry"), self.use_cases.expire_orders.look_every
        if not await self.is_open():
            return look_every.total_seconds()
        report = await self.use_cases.expire_orders()
        if report.expired:
            log.info("orders expired", count=len(report.expired))
        for order_id, error in report.failed:
            log.error("an order could not expire", order_id=str(order_id), reason=str(error))
        return look_every.total_seconds()

    async def _republish(self) -> float:
        log = structlog.get_logger("holdfast.republish")
        republished = await self.use_cases.republish_requests(idle=self.stuck_after)
        if republished.count:
            log.warning("requests of orders that waited too long were republished", count=republished.count)
        for order_id, error in republished.failed:
            log.error("the request of an order can't be republished", order_id=str(order_id), reason=str(error))
        return self.stuck_after.total_seconds()


async def _consume(consumer: Consumer, one_begins: asyncio.Lock, stop: Stop) -> float:
    async with Turn(one_begins) as turn:
        deliveries = await stop.until_first(consumer.receive())
        turn.end_after(_APART)
        if deliveries:
            _tell(await consumer.handle(deliveries))
    return 0


async def _settle(consumer: Consumer, all_settled: Stop) -> float:
    # The stop comes when nothing is late. So it can't interrupt a settlement.
    handled = await all_settled.until_first(consumer.settle())
    if handled is not None:
        _tell(handled)
    return 0


async def _record(dead_letters: RecordDeadLetters, stop: Stop) -> float:
    deliveries = await stop.until_first(dead_letters.receive())
    if deliveries:
        await dead_letters.record(deliveries)
    return 0


def _tell(handled: Handled) -> None:
    log = structlog.get_logger("holdfast.worker")
    log.debug(
        "deliveries handled",
        done=handled.done,
        retried=len(handled.retried),
        dead_lettered=len(handled.dead_lettered),
    )
    for delivery, error in handled.retried:
        log.warning(
            "a delivery will be retried",
            **_about(delivery),
            reason=str(error),
        )
    for delivery, error in handled.dead_lettered:
        log.error(
            "a delivery was dead-lettered",
            **_about(delivery),
            exc_info=error,
        )


def _about(delivery: Delivery) -> dict[str, object]:
    event = delivery.event
    told = {
        "type": event.type,
        "order_id": str(event.order_id),
        "sequence": event.sequence,
        "queue": QUEUE_OF[event.type].name,
        "attempt": delivery.attempt,
    }
    return told if event.request_id is None else {**told, "request_id": event.request_id}


async def run_worker(settings: Settings, stop: Stop) -> None:
    async with AsyncExitStack() as stack:
        container = await stack.enter_async_context(open_container(settings, new=True, program="worker"))
        await stack.enter_async_context(queues_declared(settings))
        if settings.redis_url:
            await stack.enter_async_context(fence_watched(container.cache_fence()))
        await expect_provider(container)
        await tell_of_servers(container)
        await expect_schema(container, stop)
        if not stop.is_set():
            await expect_own_ledger(container, claim=True)
        await stack.enter_async_context(metrics_served(container, WORKER))
        worker = evolve(worker_of(container), is_open=partial(an_api_is_at_work, container.heartbeats()))
        calls = container.provider_calls()
        if settings.amqp_url:
            freeze_objects()
            async with heard_of(container.heartbeats(), WORKER, last=container.last_heartbeat(), calls=calls):
                await worker.run(stop)
            return
        # The broker is in this process, and so is the relay that brings to it.
        use_cases = container.use_cases()
        if not stop.is_set():
            await republish_what_was_lost(use_cases)
        await stack.enter_async_context(database_sampled(container))
        freeze_objects()
        async with (
            heard_of(container.heartbeats(), WORKER, RELAY, last=container.last_heartbeat(), calls=calls),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay(use_cases, container.outbox_signal(), stop))
            tasks.create_task(worker.run(stop))


async def republish_what_was_lost(use_cases: UseCases) -> None:
    """A broker in this process is empty at the start, and its predecessor may have held requests."""
    await use_cases.republish_requests(idle=timedelta(0))


def worker_of(container: Container) -> Worker:
    settings = container.settings()
    return Worker(
        use_cases=container.use_cases(),
        stuck_after=settings.stuck_after,
        batches=settings.worker_batches,
    )
