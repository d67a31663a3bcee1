"""One line in the log for each change of an order, after its commit."""

import logging
from collections.abc import Sequence
from typing import Final

from domain.orders.order import Order
from domain.orders.status import OrderStatus

_NAME: Final = "holdfast.orders"


def log_changes(orders: Sequence[Order]) -> None:
    """Log a failure at the level info, and everything else at debug."""
    is_debugging = logging.getLogger(_NAME).isEnabledFor(logging.DEBUG)
    for order in orders:
        if order.status is OrderStatus.FAILED or is_debugging:
            _log_change(order)


def _log_change(order: Order) -> None:
    # Few commands change an order, and the import takes a tenth of a command's start.
    import structlog  # noqa: PLC0415

    log = structlog.get_logger(_NAME)
    facts = {"order_id": str(order.id), "status": order.status.value, "version": order.version}
    if order.status is OrderStatus.FAILED and not order.deleted:
        log.info("order failed", **facts, reason=order.failure_reason and order.failure_reason.value)
    else:
        log.debug("order changed", **facts, deleted=order.deleted)
