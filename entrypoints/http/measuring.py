from http import HTTPStatus
from typing import Final

from attrs import define, field
from quart import Request

from application.ports.telemetry import Record, Telemetry
from application.telemetry import metrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# A scrape stays below a thousand series, and each of these is nine. What comes later is measured as one.
_MOST: Final = 25
_OTHERS: Final = "others"
# The objectives are about these, which are always told apart.
_OBJECTIVE: Final = ("POST", "/orders")


@define(eq=False)
class MeasureRequests:
    """Measures requests by their route, not by their path: a path has ids in it, and may be anything.

    The combinations of method, route and status that come first have a histogram of their own. Refusals have none: who
    has no key can get one on each route, and would leave no place for what the shop does.
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
        refused = _may_be_refused(status)
        # Written so that `5..` means the same in a class.
        class_ = f"{status // 100}xx"
        labels = {"method": known, "route": route, "status": class_ if refused else str(status)}
        if (known, route) != _OBJECTIVE and (refused or not self._has_place(known, route, status)):
            labels = {"method": "other", "route": _OTHERS, "status": class_}
        record = self._telemetry.of(metrics.HTTP_DURATION, **labels)
        # A client chooses the method, and could fill this with new ones.
        if known == method:
            self._records[method, route, status] = record
        return record

    def _has_place(self, method: str, route: str, status: int) -> bool:
        if len(self._told_apart) < _MOST:
            self._told_apart.add((method, route, status))
        return (method, route, status) in self._told_apart


def _may_be_refused(status: int) -> bool:
    """Whether somebody without a key may get it: a redirection may lead to the login."""
    return 300 <= status < 500 and status != HTTPStatus.NOT_MODIFIED  # noqa: PLR2004 - the classes of HTTP
