"""The outbox, the work queues and their dead letters."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import uniform
from typing import Any

from attrs import frozen

from application.assembly.shared import Shared
from application.execution.after_commit import InvalidateOlder
from application.execution.simulated_work import SimulatedWork
from application.messaging.by_order import ByOrder
from application.messaging.consumer import Consumer
from application.messaging.dead_letters import DecideDeadLetters, ListDeadLetters, RecordDeadLetters
from application.messaging.relay import RelayEvents
from application.messaging.republish import RepublishRequests
from application.messaging.subscriptions import INTAKE, PAYMENTS, REFUNDS, WORK_QUEUES, WorkQueue
from application.telemetry.measured import MeasuredWork


@frozen(kw_only=True, slots=False)
class MessagingUseCases:
    consumers: Sequence[Consumer]
    record_dead_letters: Sequence[RecordDeadLetters]
    relay_events: RelayEvents
    republish_requests: RepublishRequests
    list_dead_letters: ListDeadLetters
    decide_dead_letters: DecideDeadLetters


def messaging_use_cases(shared: Shared) -> MessagingUseCases:
    ports, limits, uow, now = shared.ports, shared.limits, shared.uow, shared.ports.now

    def consumer(work: WorkQueue, handle: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]) -> Consumer:
        if any(limits.simulated_work):
            handle = SimulatedWork(handle, partial(uniform, *limits.simulated_work))
        handle = MeasuredWork(handle, ports.telemetry, now, work.name)
        return Consumer(
            work,
            ports.subscription(work),
            handle,
            max_batch=limits.consumer_batch_max,
            max_late=limits.max_charges,
        )

    return MessagingUseCases(
        consumers=(
            consumer(INTAKE, shared.persist_orders),
            consumer(PAYMENTS, ByOrder(shared.process_payment)),
            consumer(REFUNDS, ByOrder(shared.refund_order)),
        ),
        record_dead_letters=[
            RecordDeadLetters(work.name, ports.dead_letter_queue(work), uow, now) for work in WORK_QUEUES
        ],
        relay_events=RelayEvents(
            uow,
            ports.publisher,
            InvalidateOlder(ports.recent_orders),
            now,
            ports.relay_name,
            limit=limits.relay_batch_max,
            log=ports.relay_log,
        ),
        republish_requests=RepublishRequests(uow, now),
        list_dead_letters=ListDeadLetters(uow),
        decide_dead_letters=DecideDeadLetters(uow, now),
    )
