import logging

import pytest
from structlog.testing import capture_logs

from application.execution.after_commit import Committed
from domain.orders.details import OrderDetails
from domain.orders.status import FailureReason
from entrypoints.order_log import log_changes
from tests.unit.builders import LATER, PAYMENT, a_product, placed


@pytest.mark.parametrize(("level", "statuses"), [("INFO", []), ("DEBUG", ["PENDING", "CANCELLED"])])
def test_each_change_is_a_line_at_debug(level: str, statuses: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.getLevelName(level), "holdfast.orders")
    order, event = placed()
    with capture_logs() as logged:
        log_changes(Committed(orders=[order], events=[event]))
        event = order.cancel(at=LATER)
        log_changes(Committed(orders=[order], events=[event]))
    assert [(line["status"], line["order_id"]) for line in logged] == [(status, str(order.id)) for status in statuses]
    assert {line["log_level"] for line in logged} <= {"debug"}


def test_a_failure_is_a_line_at_info_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast.orders")
    order, _ = placed()
    order.request_payment(PAYMENT, at=LATER)
    failed = order.fail(FailureReason.OUT_OF_STOCK, {product.id: product for product in [a_product()]}, at=LATER)
    with capture_logs() as logged:
        log_changes(Committed(orders=[order], events=[failed]))
        # What happens to it afterwards is no failure.
        log_changes(Committed(orders=[order], events=[order.change_details(OrderDetails(note="ring"), at=LATER)]))
    [line] = logged
    assert (line["log_level"], line["event"], line["reason"]) == ("info", "order failed", "out_of_stock")
    assert line["order_id"] == str(order.id)
