"""The way in for orders."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from application.assembly.batches import Batches
from application.assembly.limits import Limits
from application.assembly.ports import Ports
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.idempotency import Keyed, Replayed
from application.execution.retry_conflicts import Retrying
from application.intake.order_intake import AutoIntake, DirectIntake, OrderIntake, QueuedIntake, RefuseWhatIsNew
from application.intake.order_request import NumberedRequest, NumberRequests
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import PlaceOrder
from application.intake.queue_orders import Queued, QueueOrders, QueueOrRecord
from application.intake.unrecorded import RecallOrders, Unrecorded
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.orders.events import OrderAccepted
from domain.orders.order import Order

C = TypeVar("C")
R = TypeVar("R")

_PlaceCall = NumberedRequest | Keyed[NumberedRequest]


def order_intake(
    ports: Ports, limits: Limits, batches: Batches, uow: UnitOfWork, persist_orders: PersistOrders
) -> OrderIntake:
    """The intake that the limits name. Each server has its timeout, and the database has one for each use."""
    number = NumberRequests(ports.new_id, ports.now, queues=limits.intake != "direct")
    place: Batched[_PlaceCall, Order | Replayed] = batches(PlaceOrder(uow))
    if limits.intake == "direct":
        return DirectIntake(number, place)
    persist: Batched[OrderAccepted, None] = batches(persist_orders)

    def breaker(work: Callable[[C], Awaitable[R]], seconds: float) -> CircuitBreaker[C, R]:
        return CircuitBreaker(work, seconds=seconds, pause=limits.breaker_pause)

    async def look_at_queue(calls: Sequence[None]) -> Sequence[bool]:
        return [await ports.intake_queue.is_empty()] * len(calls)

    async def recorded(ids: Collection[OrderId]) -> Collection[OrderId]:
        async with uow.reading() as tx:
            return (await tx.orders.get_many(ids)).keys()

    async def nothing(_: Collection[OrderId]) -> Collection[OrderId]:
        return ()

    queue: Batched[_PlaceCall, Order | Queued] = batches(
        QueueOrders(
            ports.price_list,
            breaker(ports.intake_queue.put_many, limits.broker_timeout),
            ports.recent_orders,
            ports.queued_here,
            breaker(persist, limits.database_timeout),
            # In `auto` the database has been asked before.
            breaker(recorded, limits.database_timeout) if limits.intake == "queued" else nothing,
        )
    )
    queue_or_record = QueueOrRecord(
        queue,
        breaker(Retrying(place), limits.last_resort_timeout),
        breaker(Retrying(persist), limits.last_resort_timeout),
    )
    is_empty: Batched[None, bool] = batches(look_at_queue)
    ask_queue = breaker(is_empty, limits.broker_timeout)
    if limits.intake == "queued":
        return QueuedIntake(number, queue_or_record, RefuseWhatIsNew(place, ask_queue))
    recall: Batched[OrderId, Order | None] = batches(RecallOrders(Unrecorded(ports.recent_orders, ports.queued_here)))
    place_in_time = breaker(place, limits.database_timeout)
    return AutoIntake(number, recall, RefuseWhatIsNew(place_in_time, ask_queue), queue_or_record)
