"""Which pages of other origins may call the API from a browser (the CORS protocol of the Fetch standard)."""

from collections.abc import Collection, Iterable
from typing import Final

from attrs import frozen

from entrypoints.http.digests import DIGESTS
from entrypoints.http.headers import ADMIN_PASSWORD, KEY_HEADERS
from entrypoints.http.preconditions import GUARDS
from entrypoints.http.ranges import RANGES
from entrypoints.http.request_ids import REQUEST_ID

_ANY: Final = "*"
# What a page may read of a response, beside what every page may.
EXPOSED: Final = frozenset(
    {
        "Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Holdfast-Position",
        "Idempotent-Replayed", "Link", "Location", "RateLimit", "RateLimit-Policy", "Request-Id", "Retry-After",
        "WWW-Authenticate",
    }
)  # fmt: skip
# What a page may send: all that some route looks at.
SENT: Final = (
    frozenset({"Authorization", "Content-Type", "If-Modified-Since", "Last-Event-ID", ADMIN_PASSWORD, REQUEST_ID})
    | {"traceparent", "tracestate"}
    | DIGESTS
    | GUARDS
    | RANGES
    | frozenset(KEY_HEADERS)
)
# Seconds for which a browser may keep the answer to its preflight.
_MAX_AGE: Final = "600"

Headers = list[tuple[str, str]]


@frozen
class Cors:
    """The origins that are allowed. No cookie is used, so there are no credentials to allow."""

    _origins: Collection[str]

    def headers(self, sent: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return what each response needs for a request with these headers, whose names are in lower case."""
        origin = dict(sent).get(b"origin", b"").decode("latin-1")
        # A cache must not give the answer for one origin to another.
        vary = [] if _ANY in self._origins else [("Vary", "Origin")]
        allowed = self._allowed(origin)
        if not origin or allowed is None:
            return vary
        return [
            *vary,
            ("Access-Control-Allow-Origin", allowed),
            ("Access-Control-Expose-Headers", ", ".join(sorted(EXPOSED))),
        ]

    def preflight(self, origin: str, methods: str) -> Headers:
        """Return what the answer to a preflight needs besides, for an address with these methods."""
        if self._allowed(origin) is None:
            return []
        return [
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", ", ".join(sorted(SENT))),
            ("Access-Control-Max-Age", _MAX_AGE),
            ("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]

    def _allowed(self, origin: str) -> str | None:
        if _ANY in self._origins:
            return _ANY
        return origin if origin in self._origins else None
