"""Which pages of other origins may call the API from a browser (the CORS protocol of the Fetch standard)."""

from collections.abc import Collection, Iterable
from typing import Final

from attrs import frozen

_ANY: Final = "*"
_EXPOSED: Final = "ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Request-Id, Retry-After"
_SENT: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since,"
    " Last-Event-ID, Request-Id"
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
        return [*vary, ("Access-Control-Allow-Origin", allowed), ("Access-Control-Expose-Headers", _EXPOSED)]

    def preflight(self, origin: str, methods: str) -> Headers:
        """Return what the answer to a preflight needs besides, for an address with these methods."""
        if self._allowed(origin) is None:
            return []
        return [
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", _SENT),
            ("Access-Control-Max-Age", _MAX_AGE),
            ("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]

    def _allowed(self, origin: str) -> str | None:
        if _ANY in self._origins:
            return _ANY
        return origin if origin in self._origins else None
