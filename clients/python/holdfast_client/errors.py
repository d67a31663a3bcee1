"""What can go wrong. Each error of the API has a `code`; the class says what kind it is."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from holdfast_client.models import Order, Wrong


class HoldfastError(Exception):
    """Every error of this library."""


class NoAnswer(HoldfastError):
    """No answer came, after all attempts. `may_have_happened` tells whether the request may have been carried out."""

    def __init__(self, message: str, *, may_have_happened: bool) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class NotInTime(HoldfastError):
    """What was waited for did not come in time. `order` is as it was then."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order.order_id} is {order.status}, at version {order.version}")
        self.order = order


class UnexpectedAnswer(HoldfastError):
    """What answered is not Holdfast, or is another release of it than this library knows."""


class ApiError(HoldfastError):
    """The API refused the request. The page at `type` tells the cause and the remedy of its `code`."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code = str(body.get("code", ""))
        self.type = str(body.get("type", ""))
        self.title = str(body.get("title", ""))
        self.detail = str(body.get("detail", ""))
        self.request_id = str(body.get("request_id", ""))
        self.errors: Sequence[Wrong] = tuple(map(Wrong.of, body.get("errors", ())))
        # Whether the same request may succeed, and does no harm, when it is sent again.
        self.retryable = body.get("retryable") is True
        # Seconds.
        self.retry_after = retry_after
        super().__init__(self._words())

    def _words(self) -> str:
        lines = [f"{self.status} {self.code}: {self.detail or self.title} (request {self.request_id})"]
        lines += [f"  {wrong.where}: {wrong.detail}" for wrong in self.errors]
        return "\n".join(lines)


class Unauthenticated(ApiError):
    """No key was sent, or one that does not work."""


class Forbidden(ApiError):
    """The key lacks a scope, which the detail names, or belongs to another customer."""


class NotFound(ApiError):
    """There is no such thing, or it belongs to another customer."""


class RefusedByRules(ApiError):
    """The rules of the shop, or the state of an order, don't allow it: `illegal_transition`, `out_of_stock`."""


class PositionNotKept(ApiError):
    """The feed has nothing after this position any more. Read the orders anew, and follow it from a newer position."""


class PreconditionFailed(ApiError):
    """Somebody else has changed the order or the product meanwhile."""


class Invalid(ApiError):
    """The request breaks a rule of its form. `errors` names all that is wrong."""


class TooManyRequests(ApiError):
    """The key has used up its quota. `retry_after` tells when to go on."""


class Unavailable(ApiError):
    """A server is away or overloaded, after all attempts."""


_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: RefusedByRules,
    410: PositionNotKept,
    412: PreconditionFailed,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
}


def error_of(response: httpx.Response) -> HoldfastError:
    """Return the error of a response that is none of success."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        return UnexpectedAnswer(f"{response.status_code} from {response.url}, which is no answer of Holdfast's API")
    kind = _BY_STATUS.get(response.status_code, ApiError)
    return kind(response.status_code, body, _seconds(response.headers.get("Retry-After")))


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
