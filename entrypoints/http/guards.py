"""Headers that must not be ignored: a guard that is not applied, or bytes that mean something else.

The route honours such a header, or it is refused here before anything is done. All other headers are
looked up where they are used.
"""

from collections.abc import Collection
from typing import Final

from werkzeug.datastructures import Headers

from entrypoints.http.digests import DIGESTS
from entrypoints.http.headers import IDEMPOTENCY_KEY, KEY_HEADERS, SAFE_METHODS
from entrypoints.http.preconditions import GUARDS
from entrypoints.http.refusals import (
    InvalidHeader,
    NothingToGuard,
    UnknownEncoding,
    UnknownExpectation,
    each_header,
    in_header,
)

_OVERRIDES: Final = frozenset({"X-Http-Method", "X-Http-Method-Override", "X-Method-Override"})
_REFUSED: Final = {
    "Content-Transfer-Encoding": "send the body as it is: HTTP needs no such encoding",
    "Content-Range": "send the whole body: a part of one is not understood here",
    **dict.fromkeys(_OVERRIDES, "send the method itself in the request line"),
}
# If one of these is sent twice, the meaning of the request depends on which one is read.
_SINGLE: Final = frozenset({"Authorization", "Content-Type", "Content-Encoding"})
_GUARDING: Final = frozenset({*KEY_HEADERS, "Content-Encoding", "Expect", *DIGESTS, *GUARDS, *_REFUSED})
# Another spelling of a header is honoured where that header is.
_OURS: Final = dict.fromkeys(KEY_HEADERS, IDEMPOTENCY_KEY)


def refuse_what_is_not_honoured(method: str, headers: Headers, *, honoured: Collection[str]) -> bool:
    """Check the headers of a request to a route that itself looks at those in `honoured`.

    Return whether there are digests, which the caller has to compare with the body. Raise `InvalidHeader`.
    """
    # Each request comes here: what loops, loops in C.
    names = dict(iter(headers))
    if len(names) < len(headers):
        each_header(sorted(_SINGLE & names.keys()), lambda name: _expect_once(name, headers))
    if _GUARDING.isdisjoint(names):
        return False
    refused = [name for name in sorted(_GUARDING & names.keys()) if _OURS.get(name, name) not in honoured]
    kind = NothingToGuard if GUARDS.issuperset(refused) else InvalidHeader
    each_header(refused, lambda name: _refuse(name, method, headers), kind)
    return not DIGESTS.isdisjoint(names)


def _expect_once(name: str, headers: Headers) -> None:
    if len(headers.getlist(name)) > 1:
        raise InvalidHeader(in_header(name, "send the header only once", "repeated"))


def _refuse(name: str, method: str, headers: Headers) -> None:
    value = headers.get(name, "").strip(" \t").lower()
    if name in _REFUSED:
        raise InvalidHeader(in_header(name, _REFUSED[name], "not_honoured"))
    if name == "Content-Encoding" and value not in {"", "identity"}:
        raise UnknownEncoding
    if name == "Expect" and value != "100-continue":
        raise UnknownExpectation
    if name in KEY_HEADERS:
        rule = "no response to this request is kept: send no key"
        raise InvalidHeader(in_header(name, rule, "not_honoured"))
    if name in GUARDS and (method not in SAFE_METHODS or (name == "If-Match" and value != "*")):
        rule = "what is at this path has neither an entity tag nor a date: send no precondition"
        raise NothingToGuard(in_header(name, rule, "not_honoured"))
