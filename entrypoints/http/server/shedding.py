import re
import time
from typing import Final

from attrs import define, field

from entrypoints.http.problem_kinds import OVERLOADED
from entrypoints.http.replies import raw_problem
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from entrypoints.http.server.framing import MAX_HEAD

# Never shed: a process that lives says so under any load. Whether it is ready is another question: under overload it is
# not, and the answer costs as much as that to any other request.
_EXEMPT: Final = frozenset({b"/health/live", b"/v1/health/live"})

# What places an order, for which the shop has an objective.
_ORDER: Final = ("POST", frozenset({b"/orders", b"/v1/orders"}))
_ORDER_HEADS: Final = (b"POST /orders ", b"POST /v1/orders ")

# Matches only a head that leaves no doubt where the request ends: it has at most one Content-Length, and no other
# framing.
_HEADER: Final = (
    rb"(?!(?i:expect|upgrade|transfer-encoding|(?:proxy-)?connection(?!: keep-alive\r)|content-length))"
    rb"[!-~][ -~\t]*\r\n"
)
_PLAIN: Final = re.compile(
    rb"(?:GET|POST|PUT|PATCH|DELETE) /(?!(?:v1/)?health/live)[!-~]* HTTP/1\.1\r\n(?!\r)"
    rb"(?:%(header)b)*(?:(?i:content-length): (\d{1,9})\r\n(?:%(header)b)*)?\r\n" % {b"header": _HEADER}
)


@define(eq=False)
class LoadShedding:
    """Decides which requests are refused with 503, and has the encoded response.

    Requests are refused before they reach Quart, which causes nearly all of a request's cost. The response is encoded
    once, but for the id of the request: at three times the capacity, two of three requests get it.
    """

    _concurrency: ConcurrencyLimit
    shed: int = field(default=0, init=False)
    # How many of them were requests to place an order.
    shed_orders: int = field(default=0, init=False)
    # The pieces between which the id of a request stands, by its length, on which the length of the content depends.
    _pieces: dict[int, list[bytes]] = field(factory=dict, init=False)

    @property
    def limit(self) -> int:
        """The number of requests in progress below which none is refused."""
        return self._concurrency.limit

    def is_due(self, *, in_progress: int, finished: int) -> bool:
        """Return whether the next request exceeds the limit. `finished` counts all responses, also to shed requests."""
        if in_progress < self._concurrency.limit:
            return False
        self._concurrency.reached(now=time.monotonic(), answered=finished - self.shed)
        return in_progress >= self._concurrency.limit

    def note(self, *, is_order: bool) -> None:
        """Count a request that is refused."""
        self.shed += 1
        self.shed_orders += is_order

    def response_to(self, method: str, request_id: str) -> bytes:
        response = self.response(request_id)
        return response if method != "HEAD" else response[: response.index(b"\r\n\r\n") + 4]

    def response(self, request_id: str) -> bytes:
        pieces = self._pieces.get(len(request_id))
        if pieces is None:
            # Nothing else in a response is in angle brackets.
            name = "<" * len(request_id)
            pieces = self._pieces[len(request_id)] = raw_problem(OVERLOADED, name).split(name.encode())
        return request_id.encode().join(pieces)


def is_exempt(raw_path: bytes) -> bool:
    return raw_path in _EXEMPT


def places_order(method: str, raw_path: bytes) -> bool:
    return method == _ORDER[0] and raw_path in _ORDER[1]


def begins_order(head: bytes) -> bool:
    """Return the same of a request that was not parsed."""
    return head.startswith(_ORDER_HEADS)


def is_plain(data: bytes) -> bool:
    """Return whether the data is exactly one whole request that may be shed, and whose response may have a body.

    Every other request goes to the parser, which makes a refusal take 6.7 µs of Python instead of 1.9. At three times
    the capacity, the parser would cost 6% to 8% of the throughput (docs/performance-notes.md).
    """
    head = _PLAIN.match(data, 0, MAX_HEAD)
    return head is not None and len(data) - head.end() == int(head[1] or 0)
