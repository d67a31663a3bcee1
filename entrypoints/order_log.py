"""One line in the log for each change of an order, after its commit, and for each event that was relayed."""

import logging
from collections.abc import Sequence
from typing import Final

from adapters.codecs.events import decode_if_readable
from application.execution.after_commit import Committed
from application.ports.outbox import OutboxEntry
from domain.orders.events import OrderFailed
from domain.orders.order import Order

_NAME: Final = "holdfast.orders"
_RELAY: Final = "holdfast.relay"


def log_changes(committed: Committed) -> None:
    """Log a failure at the level info, and everything else at debug."""
    is_debugging = logging.getLogger(_NAME).isEnabledFor(logging.DEBUG)
    failed = {event.order_id for event in committed.events if isinstance(event, OrderFailed)}
    if failed or is_debugging:
        for order in committed.orders:
            if order.id in failed or is_debugging:
                _log_change(order, has_failed=order.id in failed)


def _log_change(order: Order, *, has_failed: bool) -> None:
    # Few commands change an order, and the import takes a tenth of a command's start.
    import structlog  # noqa: PLC0415

    log = structlog.get_logger(_NAME)
    facts = {"order_id": str(order.id), "status": order.status.value, "version": order.version}
    if has_failed:
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
