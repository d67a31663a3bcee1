"""The headers RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10 and later)."""

from collections.abc import Sequence
from math import ceil
from typing import Any, Final, cast

from attrs import field, frozen
from quart import Request

from application.access.limits import TooManyRequests
from application.access.principal import Principal
from application.ports.rate_limits import Quota, RateLimiter, Usage

_HEADERS: Final = "holdfast.rate_limit"


@frozen
class RateLimits:
    """Counts the requests of customers. The shop's own keys have no limit."""

    _limiter: RateLimiter
    _quotas: Sequence[Quota]
    _policy: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        policies = (f'"{quota.name}";q={quota.quantity};w={ceil(quota.window)}' for quota in self._quotas)
        object.__setattr__(self, "_policy", ", ".join(policies))

    async def take(self, by: Principal, request: Request) -> None:
        """Raise `TooManyRequests`."""
        if by.user_id is None:
            return
        usage = await self._limiter.take(by.key_id)
        _scope(request)[_HEADERS] = [("RateLimit-Policy", self._policy), ("RateLimit", self._left(usage))]
        if usage.retry_after:
            raise TooManyRequests("the customer has made too many requests: wait a moment", usage)

    def _left(self, usage: Usage) -> str:
        each = zip(self._quotas, usage.left, usage.reset, strict=True)
        return ", ".join(f'"{quota.name}";r={left};t={ceil(reset)}' for quota, left, reset in each)


def headers_in(request: Request) -> Sequence[tuple[str, str]]:
    """Return the headers that the response to this request has."""
    headers: Sequence[tuple[str, str]] = _scope(request).get(_HEADERS, ())
    return headers


def _scope(request: Request) -> dict[str, Any]:
    # Each request has its own, and an error handler can find it again.
    return cast(dict[str, Any], request.scope)
