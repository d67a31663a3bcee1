"""The header Authorization: who makes a request."""

from attrs import frozen
from quart import Request

from application.access.authenticate import Authenticate
from application.access.principal import ANYBODY, Principal, Unauthenticated

_HOW = "send the header `Authorization: Bearer` with an API key, as `holdfast keys create` prints it"


@frozen
class Bearer:
    """Returns who makes a request. Where nobody has to say it, a key that is sent is looked at all the same."""

    _authenticate: Authenticate
    _required: bool

    async def __call__(self, request: Request) -> Principal:
        header = request.headers.get("Authorization")
        if header is None:
            if self._required:
                raise Unauthenticated(_HOW)
            return ANYBODY
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(_HOW)
        return await self._authenticate(token.strip(" "), request.remote_addr or "")
