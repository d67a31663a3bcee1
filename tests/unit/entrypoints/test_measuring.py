"""Which requests are measured apart, and who has a say in it."""

from types import SimpleNamespace
from typing import Any, cast

from attrs import define, field

from application.ports.telemetry import Metric, NoTelemetry, Record
from entrypoints.http.measuring import MeasureRequests

REFUSALS = (301, 303, 400, 401, 403, 404, 405, 422, 429)


@define
class Labels(NoTelemetry):
    """Keeps which series there are."""

    told: set[tuple[str, str, str]] = field(factory=set)

    def of(self, metric: Metric, **labels: str) -> Record:
        self.told.add((labels["method"], labels["route"], labels["status"]))
        return super().of(metric)


def asked(measure: MeasureRequests, method: str, route: str | None, status: int) -> None:
    rule = None if route is None else SimpleNamespace(rule=route)
    measure(cast("Any", SimpleNamespace(method=method, url_rule=rule)), status, 0.01)


def test_refusals_take_no_place_from_what_the_shop_does() -> None:
    labels = Labels()
    measure = MeasureRequests(labels)
    for status in REFUSALS:
        asked(measure, "GET", None, status)
        for number in range(50):
            for method in ("GET", "DELETE", "BREW"):
                asked(measure, method, f"/route/{number}", status)
    assert labels.told == {("other", "others", "3xx"), ("other", "others", "4xx")}
    for status in (200, 304, 503):
        asked(measure, "GET", "/orders/<order_id>", status)
        assert ("GET", "/orders/<order_id>", str(status)) in labels.told


def test_what_comes_later_is_measured_as_one_by_its_class() -> None:
    labels = Labels()
    measure = MeasureRequests(labels)
    for number in range(50):
        asked(measure, "GET", f"/route/{number}", 200)
    assert len(labels.told) == 25 + 1
    assert ("other", "others", "2xx") in labels.told


def test_a_place_is_always_there_for_what_the_objectives_are_about() -> None:
    labels = Labels()
    measure = MeasureRequests(labels)
    for number in range(50):
        asked(measure, "GET", f"/route/{number}", 200)
    for status in (201, 202, 409, 503):
        asked(measure, "POST", "/orders", status)
    assert {("POST", "/orders", status) for status in ("201", "202", "4xx", "503")} <= labels.told
