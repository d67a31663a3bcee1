"""The way in for orders."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from application.assembly.batches import Batches
from application.assembly.limits import Limits
from application.assembly.ports import Ports
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.idempotency import Keyed, Replayed
from application.execution.retry_conflicts import Retrying
from application.intake.order_intake import AutoIntake, DirectIntake, OrderIntake, QueuedIntake
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import NumberedRequest, NumberRequests, PlaceOrder
from application.intake.queue_orders import Queued, QueueOrders, QueueOrRecord
from domain.orders.events import OrderAccepted
from domain.orders.order import Order

C = TypeVar("C")
R = TypeVar("R")

_PlaceCall = NumberedRequest | Keyed[NumberedRequest]


def order_intake(
    ports: Ports, limits: Limits, batches: Batches, place_order: PlaceOrder, persist_orders: PersistOrders
) -> OrderIntake:
    """The intake that the limits name. Each server has its timeout, and the database has one for each use."""
    number = NumberRequests(ports.new_id, ports.now)
    place: Batched[_PlaceCall, Order | Replayed] = batches(place_order)
    if limits.intake == "direct":
        return DirectIntake(number, place)
    persist: Batched[OrderAccepted, None] = batches(persist_orders)

    def breaker(work: Callable[[C], Awaitable[R]], seconds: float) -> CircuitBreaker[C, R]:
        return CircuitBreaker(work, seconds=seconds, pause=limits.breaker_pause)

    queue: Batched[_PlaceCall, Order | Queued] = batches(
        QueueOrders(
            ports.price_list,
            breaker(ports.intake_queue.put_many, limits.broker_timeout),
            ports.recent_orders,
            ports.queued_here,
            breaker(persist, limits.database_timeout),
        )
    )
    queue_or_record = QueueOrRecord(
        queue,
        breaker(Retrying(place), limits.last_resort_timeout),
        breaker(Retrying(persist), limits.last_resort_timeout),
    )
    if limits.intake == "queued":
        return QueuedIntake(number, queue_or_record, place)
    return AutoIntake(number, breaker(place, limits.database_timeout), queue_or_record)
