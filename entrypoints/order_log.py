"""One line in the log for each change of an order, after its commit, and for each event that was relayed."""

import logging
from collections.abc import Sequence
from typing import Final

from adapters.codecs.events import decode_if_readable
from application.ports.outbox import OutboxEntry
from domain.orders.order import Order
from domain.orders.status import OrderStatus

_NAME: Final = "holdfast.orders"
_RELAY: Final = "holdfast.relay"


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


def log_relayed(entries: Sequence[OutboxEntry]) -> None:
    """Log each at the level debug, with the request that caused it."""
    if not logging.getLogger(_RELAY).isEnabledFor(logging.DEBUG):
        return
    import structlog  # noqa: PLC0415

    log = structlog.get_logger(_RELAY)
    for entry in entries:
        event = decode_if_readable(entry.body)
        cause = {} if event is None or event.request_id is None else {"request_id": event.request_id}
        order_id, sequence = entry.id
        log.debug("event relayed", type=entry.type, order_id=str(order_id), sequence=sequence, **cause)
