from typing import Final

from attrs import define, field
from quart import Request

from application.ports.telemetry import Record, Telemetry
from application.telemetry import metrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# A scrape stays below a thousand series, and each of these is nine. What comes later is measured as one.
_MOST: Final = 25
_OTHERS: Final = "others"
# The objectives are about these: orders that were accepted, and those that failed. They are always told apart.
_OBJECTIVE: Final = ("POST", "/orders")
_OF_OBJECTIVE: Final = (2, 5)


@define(eq=False)
class MeasureRequests:
    """Measures requests by their route, not by their path: a path has ids in it, and may be anything.

    The combinations of method, route and status that come first have a histogram of their own.
    """

    _telemetry: Telemetry
    # The requests that have no response yet.
    in_flight: int = field(default=0, init=False)
    _records: dict[tuple[str, str, int], Record] = field(factory=dict, init=False)
    _told_apart: set[tuple[str, str, int]] = field(factory=set, init=False)

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
        labels = {"method": known, "route": route, "status": str(status)}
        if (known, route) != _OBJECTIVE or status // 100 not in _OF_OBJECTIVE:
            if (known, route, status) in self._told_apart or len(self._told_apart) < _MOST:
                self._told_apart.add((known, route, status))
            else:
                # Written so that `5..` means the same here.
                labels = {"method": "other", "route": _OTHERS, "status": f"{status // 100}xx"}
        record = self._telemetry.of(metrics.HTTP_DURATION, **labels)
        # A client chooses the method, and could fill this with new ones.
        if known == method:
            self._records[method, route, status] = record
        return record
