"""Measures the calls of the payment provider."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from application.errors import NotDone, OutcomeUnknown
from application.ports.environment import loop_time
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.telemetry import Telemetry
from application.telemetry import metrics
from domain.ids import PaymentId
from domain.money import Money


class MeasuredProvider:
    """A cancelled call counts as unknown: it may have taken effect."""

    def __init__(self, inner: PaymentProvider, telemetry: Telemetry) -> None:
        self._inner: Final = inner
        self._seconds: Final = {
            (operation, outcome): telemetry.of(metrics.GATEWAY_CALLS, operation=operation, outcome=outcome)
            for operation in ("charge", "refund")
            for outcome in ("done", "declined", "not_done", "unknown", "error")
            # No refund is declined.
            if (operation, outcome) != ("refund", "declined")
        }
        self._unknown: Final = telemetry.of(metrics.GATEWAY_UNKNOWN)

    async def charge(self, key: PaymentId, amount: Money) -> str:
        reference: str = await self._measured("charge", self._inner.charge(key, amount))
        return reference

    async def refund(self, key: PaymentId, amount: Money) -> None:
        await self._measured("refund", self._inner.refund(key, amount))

    async def _measured(self, operation: str, call: Awaitable[Any]) -> Any:
        begun, outcome = loop_time(), "error"
        try:
            answer = await call
            outcome = "done"
        except PaymentDeclined:
            outcome = "declined" if operation == "charge" else "error"
            raise
        except NotDone:
            outcome = "not_done"
            raise
        except (OutcomeUnknown, asyncio.CancelledError):
            outcome = "unknown"
            self._unknown(1)
            raise
        finally:
            self._seconds[operation, outcome](loop_time() - begun)
        return answer
