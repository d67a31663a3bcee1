"""Callers that are sent away for a while: they call too often, or guess keys."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from attrs import define, field

from application.access.principal import AccessDenied
from application.access.token_bucket import TokenBuckets
from application.ports.rate_limits import Quota, Usage

# Guesses from one address. Whoever mistypes a key, or a fleet that goes on with a revoked one, stays below it for a
# while, and a key that is known works on even so.
GUESSES: Final = Quota("guesses", 20, 60.0)


class TooManyRequests(AccessDenied):
    """The caller has used up a quota. Nothing was done."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class TooManyGuesses(TooManyRequests):
    """Too many keys that don't work came from this address."""


@define(eq=False)
class FailedAttempts:
    """Counts by address the keys that don't work, so that nobody can try many.

    A client of IPv6 has 2^64 addresses to choose from, so its network counts.
    """

    _buckets: TokenBuckets = field(factory=lambda: TokenBuckets([GUESSES]))

    def expect_room(self, address: str) -> None:
        """Raise `TooManyGuesses`."""
        usage = self._buckets.take(_whose(address), tokens=0)
        if usage.retry_after:
            raise TooManyGuesses(
                "too many keys that don't work came from this address: wait, and send the right one", usage
            )

    def note(self, address: str) -> None:
        self._buckets.take(_whose(address))


def _whose(address: str) -> str:
    try:
        known = ip_address(address)
    except ValueError:
        # A socket of this machine has no address.
        return address
    if not isinstance(known, IPv6Address):
        return address
    return str(known.ipv4_mapped or ip_network((known.packed, 64), strict=False))
