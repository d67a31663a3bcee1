from typing import Final

from attrs import define, field
from quart import Request

from application.ports.telemetry import Record, Telemetry
from application.telemetry import metrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@define(eq=False)
class MeasureRequests:
    """Measures requests by their route, not by their path: a path has ids in it, and may be anything."""

    _telemetry: Telemetry
    # The requests that have no response yet.
    in_flight: int = field(default=0, init=False)
    _records: dict[tuple[str, str, int], Record] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._telemetry.watch(metrics.IN_FLIGHT, lambda: self.in_flight)

    def __call__(self, request: Request, status: int, seconds: float) -> None:
        rule = request.url_rule
        key = (request.method, "none" if rule is None else rule.rule, status)
        record = self._records.get(key)
        if record is None:
            record = self._record(*key)
        record(seconds)

    def _record(self, method: str, route: str, status: int) -> Record:
        known = method if method in _METHODS else "other"
        record = self._telemetry.of(metrics.HTTP_DURATION, method=known, route=route, status=str(status))
        # A client chooses the method, and could fill this with new ones.
        if known == method:
            self._records[method, route, status] = record
        return record
