from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

import msgspec
from attrs import field, frozen

from application.access.principal import Forbidden, Principal
from application.access.scopes import Scope
from entrypoints.http.accept import JSON
from entrypoints.http.query import Reader
from entrypoints.http.replies import Reply, Wording


class Open(Enum):
    """Access to a route that needs no scope."""

    TO_ALL = "nobody has to say who it is"
    TO_CALLERS = "every caller that is known may use it"


# Who may use a route. Of several scopes the caller needs one: the operation decides which.
Access = Open | Scope | frozenset[Scope]


def expect_access(by: Principal, access: Access) -> None:
    """Raise `Forbidden` if the caller has no scope that the route takes."""
    match access:
        case Scope():
            by.expect(access)
        case frozenset() if by.scopes.isdisjoint(access):
            raise Forbidden(
                f"this needs one of the scopes {', '.join(sorted(access))}, and the caller has none of them"
            )


@frozen
class Route:
    """An operation over HTTP. Its handler takes the caller as `by`, unless the route is open to all.

    There is no default for `access`: whoever adds a route says who may use it. It is checked before the body is read.
    What a caller may do is decided behind it, by the operation (`application/access/guarded.py`).
    """

    method: str
    path: str
    access: Access
    handler: Callable[..., Awaitable[Reply]]
    # The headers that the handler itself honours. `guards.py` refuses the others that must not be ignored.
    honours: frozenset[str] = frozenset()
    # The parameters that its query may have.
    parameters: Mapping[str, Reader] = field(factory=dict)
    # Those that it must have.
    needs: frozenset[str] = frozenset()
    # What its body is read with, if it has one.
    body: msgspec.json.Decoder[Any] | None = None
    needs_body: bool = True
    # The media types of its body, if that is a file, which the handler takes part by part as it arrives.
    takes: tuple[str, ...] = ()
    # An example of the body.
    example: msgspec.Struct | None = None
    # What it does, in a few words, for `/openapi.json`.
    summary: str = ""
    # The statuses of its answers, each with an example of the body; None stands for no body, and ... for one without a
    # type, such as a page or a stream.
    answers: Mapping[HTTPStatus, Any] = field(factory=dict)
    # The statuses with which the operation itself refuses. Those of the form and of the access follow from the rest.
    refusals: frozenset[int] = frozenset()
    # The media types of its answers, the usual one first.
    produces: tuple[str, ...] = (JSON,)
    # The seconds that the handler may take beyond other handlers, to wait for something to happen. If the query may
    # have the parameter `wait`, only when that is sent.
    waits: float = 0.0
    # How it says what is refused, if it is a request of another system, as clients of that system send it. Such a route
    # is no part of `/openapi.json`.
    wording: Wording | None = None

    def waits_for(self, query: bytes) -> float:
        """Return for how many seconds the handler may wait in a request with this query."""
        return self.waits if "wait" not in self.parameters or b"wait=" in query else 0.0
