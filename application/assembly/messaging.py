"""The outbox, the work queues and their dead letters."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import uniform
from typing import Any

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.execution.after_commit import InvalidateOlder
from application.execution.batching import each_alone
from application.execution.bounded import Bounded
from application.execution.simulated_work import SimulatedWork
from application.messaging.by_order import ByOrder
from application.messaging.consumer import Consumer
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.messaging.find_dead_letters import GetDeadLetter, GroupDeadLetters, Groups, ListDeadLetters
from application.messaging.record_dead_letters import RecordDeadLetters
from application.messaging.relay import RelayEvents
from application.messaging.republish import RepublishRequests
from application.messaging.subscriptions import INTAKE, PAYMENTS, REFUNDS, WORK_QUEUES, WorkQueue
from application.telemetry.measured_messaging import MeasuredWork
from application.telemetry.traced import TracedWork
from domain.dead_letter import DeadLetter


@frozen(kw_only=True, slots=False)
class MessagingUseCases:
    consumers: Sequence[Consumer]
    record_dead_letters: Sequence[RecordDeadLetters]
    relay_events: RelayEvents
    republish_requests: RepublishRequests
    group_dead_letters: Guarded[..., Groups]
    list_dead_letters: Guarded[..., Sequence[DeadLetter]]
    get_dead_letter: Callable[[Principal, int], Awaitable[DeadLetter]]
    replay_dead_letters: Guarded[..., Sequence[DeadLetter | Exception]]
    replay_edited: Guarded[..., DeadLetter]
    discard_dead_letters: Guarded[..., Sequence[DeadLetter | Exception]]


def messaging_use_cases(shared: Shared) -> MessagingUseCases:
    ports, limits, uow, now = shared.ports, shared.limits, shared.uow, shared.ports.now

    replay = ReplayDeadLetters(uow, now)

    def consumer(work: WorkQueue, handle: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]) -> Consumer:
        if any(limits.simulated_work):
            handle = SimulatedWork(handle, partial(uniform, *limits.simulated_work))
        if ports.tracer is not None:
            handle = TracedWork(handle, ports.tracer, now, work.name)
        # Measured is what became of each message in the end, not a batch that failed and was done one by one.
        handle = MeasuredWork(partial(each_alone, handle), ports.telemetry, now, work.name)
        return Consumer(
            work,
            ports.subscription(work),
            handle,
            max_batch=limits.consumer_batch_max,
            max_late=limits.max_charges,
        )

    return MessagingUseCases(
        consumers=(
            consumer(INTAKE, shared.record_accepted),
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
        # Who may replay a message has to read it first.
        group_dead_letters=Guarded(Scope.DEAD_LETTERS_REPLAY, Bounded(GroupDeadLetters(uow))),
        list_dead_letters=Guarded(Scope.DEAD_LETTERS_REPLAY, Bounded(ListDeadLetters(uow))),
        get_dead_letter=Guarded(Scope.DEAD_LETTERS_REPLAY, GetDeadLetter(uow)),
        replay_dead_letters=Guarded(Scope.DEAD_LETTERS_REPLAY, replay),
        replay_edited=Guarded(Scope.DEAD_LETTERS_REPLAY, replay.edited),
        discard_dead_letters=Guarded(Scope.DEAD_LETTERS_DISCARD, DiscardDeadLetters(uow, now)),
    )
