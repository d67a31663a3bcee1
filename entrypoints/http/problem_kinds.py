"""What a kind of problem is, and those that several errors are of or that are found before a request reaches Quart."""

from http import HTTPStatus
from typing import Final, Literal

from attrs import frozen

# Whether the same request may succeed when it is sent again. `guarded`: yes, but what it asks for may have been done
# already, so that only a request that changes nothing, or has an idempotency key, can be sent again without harm.
Again = Literal["no", "yes", "guarded"]


@frozen
class Kind:
    """One kind of problem. `/problems/{code}` shows its cause and its remedy."""

    status: HTTPStatus
    code: str
    title: str
    cause: str
    remedy: str
    again: Again = "no"
    # The message of the error is for the client. Otherwise the client gets the remedy as the detail.
    is_told: bool = False


_MAY_HAVE_HAPPENED: Final = "A change may have been made or not: look before you try again."

INTERNAL: Final = Kind(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "The service has an internal error",
    "An error in the service. It has been logged, with the id of the request.",
    f"Report it with the request id. {_MAY_HAVE_HAPPENED}",
)
BROKEN: Final = Kind(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "broken_record",
    "What is stored breaks a rule of the shop",
    "An order, a product or something else is stored with values that can't be: somebody changed it by hand in the"
    " database, or it was damaged. It has been logged, with its id.",
    "Report it with the request id: a person has to correct it in the database. `holdfast reconcile` names such"
    " orders and products.",
)
PRECONDITION_FAILED: Final = Kind(
    HTTPStatus.PRECONDITION_FAILED,
    "precondition_failed",
    "The precondition of the request does not hold",
    "The order or the product has another version than If-Match, If-None-Match or If-Unmodified-Since expects.",
    "Read it again, and decide again.",
    is_told=True,
)
STOPPING: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "stopping",
    "The service is stopping",
    "The process was stopped, and did not finish the request in time.",
    _MAY_HAVE_HAPPENED,
    again="guarded",
)
BAD_PROTOCOL: Final = Kind(
    HTTPStatus.BAD_REQUEST,
    "bad_protocol",
    "The request is not valid HTTP/1.1",
    "The request line, a header or the framing of the body is malformed or ambiguous.",
    "Send valid HTTP/1.1: with one Host, and with one Content-Length or Transfer-Encoding: chunked.",
)
HEAD_TOO_LARGE: Final = Kind(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "The head of the request is too large",
    "The URL and the headers have more than 32 KiB together.",
    "Send a shorter URL, and fewer or shorter headers.",
)
UNKNOWN_CODING: Final = Kind(
    HTTPStatus.NOT_IMPLEMENTED,
    "unknown_transfer_coding",
    "The transfer coding of the body is not known",
    "The header Transfer-Encoding names something other than chunked.",
    "Send the body with a Content-Length, or with Transfer-Encoding: chunked and nothing else.",
)
OVERLOADED: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded",
    "The service is overloaded",
    "The API can't answer more requests in time.",
    "Nothing was done: try again.",
    again="yes",
)
TOO_SLOW: Final = Kind(
    HTTPStatus.REQUEST_TIMEOUT,
    "request_timeout",
    "The request did not arrive in time",
    "The connection was too slow, or the client stopped before the end of its request.",
    "Send the whole request without pausing.",
    again="yes",
)
OUTCOME_UNKNOWN: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "outcome_unknown",
    "A server that the service needs does not answer",
    "A server stopped answering after it was asked for the change.",
    _MAY_HAVE_HAPPENED,
    again="guarded",
)
DEADLINE: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "deadline",
    "There was no answer in time",
    "The request took longer than `HOLDFAST_REQUEST_TIMEOUT`.",
    _MAY_HAVE_HAPPENED,
    again="guarded",
)
UNAVAILABLE: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "A server that the service needs does not answer",
    "The database, or the broker when orders are queued, can't be reached, or a price is not known while it is away, or"
    " Redis can't tell whether an order was accepted.",
    "Nothing was done: try again.",
    again="yes",
)
