"""Who makes a request, and from where."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from attrs import frozen
from quart import Request

from application.access.authenticate import Authenticate
from application.access.principal import ANYBODY, Principal, Unauthenticated

_DOTS = 2
_HOW = "send the header `Authorization: Bearer` with an API key, as `holdfast keys create` prints it"


@frozen
class Bearer:
    """Returns who makes a request. Where nobody has to say it, a key that is sent is looked at all the same."""

    _authenticate: Authenticate
    _required: bool
    # Where tokens of an identity provider are taken as well. They have two dots, and no API key has one.
    _tokens: Callable[[str, str], Awaitable[Principal]] | None = None
    # Behind these, the client's address is what they say.
    _proxies: Sequence[IPv4Network | IPv6Network] = ()

    async def __call__(self, request: Request) -> Principal:
        header = request.headers.get("Authorization")
        if header is None:
            if self._required:
                raise Unauthenticated(_HOW)
            return ANYBODY
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(_HOW)
        address = request.remote_addr or ""
        if self._proxies:
            address = client_address(address, request.headers.getlist("X-Forwarded-For"), self._proxies)
        token = token.strip(" ")
        if self._tokens is not None and token.count(".") == _DOTS:
            return await self._tokens(token, address)
        return await self._authenticate(token, address)


def client_address(peer: str, forwarded: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the last address that is not one of our proxies. What stands before it, anybody could have sent."""
    said = [part.strip() for value in forwarded for part in value.split(",")]
    while said and _is_among(peer, proxies):
        peer = said.pop()
    return peer


def _is_among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in networks)
