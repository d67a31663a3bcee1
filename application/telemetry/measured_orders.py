"""Measures what becomes of orders: requests for them, and what has happened to them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from application.errors import Trouble
from application.execution.after_commit import Committed
from application.execution.idempotency import Keyed, Replayed
from application.intake.order_intake import OrderIntake
from application.intake.order_request import OrderRequest
from application.intake.queue_orders import Queued
from application.ports.telemetry import Telemetry
from application.telemetry import metrics
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.events import OrderFailed, OrderPaid
from domain.orders.order import Order
from domain.orders.status import FailureReason


class MeasuredIntake:
    def __init__(self, inner: OrderIntake, telemetry: Telemetry, intake: str) -> None:
        self._inner: Final = inner
        self._outcomes: Final = {
            outcome: telemetry.of(metrics.ORDERS, outcome=outcome, intake=intake)
            for outcome in ("placed", "queued", "replayed", "refused", "unavailable", "error", "abandoned")
        }
        self._replays: Final = telemetry.of(metrics.REPLAYS)

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        try:
            answer = await self._inner(request)
        except Trouble:
            self._outcomes["unavailable"](1)
            raise
        except DomainError:
            self._outcomes["refused"](1)
            raise
        except asyncio.CancelledError:
            self._outcomes["abandoned"](1)
            raise
        except Exception:
            self._outcomes["error"](1)
            raise
        if isinstance(answer, Replayed) or (isinstance(answer, Queued) and answer.replayed):
            self._outcomes["replayed"](1)
            self._replays(1)
        else:
            self._outcomes["queued" if isinstance(answer, Queued) else "placed"](1)
        return answer


class CountChanges:
    """Counts what has happened to orders, after each commit, and passes it on."""

    def __init__(self, tell: Callable[[Committed], None], telemetry: Telemetry) -> None:
        self._tell: Final = tell
        self._to_paid: Final = telemetry.of(metrics.TIME_TO_PAID)
        self._conflict: Final = telemetry.of(metrics.STOCK_CONFLICTS)

    def __call__(self, committed: Committed) -> None:
        paid: dict[OrderId, datetime] = {}
        for event in committed.events:
            if isinstance(event, OrderPaid):
                paid[event.order_id] = event.at
            elif isinstance(event, OrderFailed) and event.reason == FailureReason.OUT_OF_STOCK:
                self._conflict(1)
        if paid:
            for order in committed.orders:
                if (at := paid.get(order.id)) is not None:
                    self._to_paid(max(0.0, (at - order.created_at).total_seconds()))
        self._tell(committed)
