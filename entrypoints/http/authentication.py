"""Who makes a request, and from where."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Network, ip_address

import msgspec
from attrs import field, frozen
from quart import Request

from application.access.authenticate import Authenticate
from application.access.limits import FailedAttempts
from application.access.principal import ANYBODY, Principal, Unauthenticated
from application.access.scopes import Scope
from entrypoints.http.decoding import read_body
from entrypoints.http.headers import ADMIN_PASSWORD

_DOTS = 2
_MAPPED = "::ffff:"
_BY_PASSWORD = frozenset({"/admin/seed", "/admin/reset"})
# At the addresses of an earlier system the password may stand in the body, and must be sent where the shop has one.
_AS_BEFORE = frozenset(f"/from/flask-orders{path}" for path in _BY_PASSWORD)
_ADMINISTRATOR = Principal("admin password", scopes=frozenset({Scope.ADMIN}))
_HOW = "send the header `Authorization: Bearer` with an API key, as `holdfast keys create` prints it"


class _Sent(msgspec.Struct, frozen=True):
    """Its clients wrote either."""

    password: str | None = None
    admin_password: str | None = None


_BODY = msgspec.json.Decoder(_Sent)


@frozen
class Bearer:
    """Returns who makes a request. Where nobody has to say it, a key that is sent is looked at all the same."""

    _authenticate: Authenticate
    # Whether callers have to say who they are.
    required: bool
    # Where tokens of an identity provider are taken as well. They have two dots, and no API key has one.
    _tokens: Callable[[str, str], Awaitable[Principal]] | None = None
    # Behind these, the client's address is what they say.
    _proxies: Sequence[IPv4Network | IPv6Network] = ()

    # What whoever administers the shop may send instead of a key, at these paths alone.
    _admin_password: str = ""
    _failed: FailedAttempts = field(factory=FailedAttempts)

    async def __call__(self, request: Request) -> Principal:
        header = request.headers.get("Authorization")
        if header is None and (password := await self._password_in(request)) is not None:
            return self._administrator(password, self._address(request))
        if header is None:
            if self.required:
                raise Unauthenticated(_HOW)
            return ANYBODY
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(_HOW)
        return await self.by_token(token.strip(" "), request)

    async def by_token(self, token: str, request: Request) -> Principal:
        """Return whose key or token it is that came with this request."""
        address = self._address(request)
        if self._tokens is not None and token.count(".") == _DOTS:
            return await self._tokens(token, address)
        return await self._authenticate(token, address)

    async def _password_in(self, request: Request) -> str | None:
        """Return the password that a request at one of the addresses for it has. None: its caller needs another key."""
        is_as_before = request.path in _AS_BEFORE
        if not is_as_before and request.path not in _BY_PASSWORD:
            return None
        if (in_header := request.headers.get(ADMIN_PASSWORD)) is not None or not is_as_before:
            return in_header
        in_body = None
        # What is no such body is refused later, with all that is wrong.
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            sent = _BODY.decode(await read_body())
            in_body = sent.password if sent.admin_password is None else sent.admin_password
        return "" if in_body is None and self._admin_password else in_body

    def _administrator(self, password: str, address: str) -> Principal:
        """Raise `Unauthenticated`, or `TooManyGuesses` after many wrong ones from one address."""
        self._failed.expect_room(address)
        # Of hashes, so that the time tells nothing of what is compared, nor of its length.
        if not self._admin_password or not compare_digest(_hash(self._admin_password), _hash(password)):
            self._failed.note(address)
            raise Unauthenticated(f"{ADMIN_PASSWORD} is wrong, or this shop has none: see HOLDFAST_ADMIN_PASSWORD")
        return _ADMINISTRATOR

    def _address(self, request: Request) -> str:
        address = request.remote_addr or ""
        if not self._proxies:
            return address
        return client_address(address, request.headers.getlist("X-Forwarded-For"), self._proxies)


def _hash(password: str) -> bytes:
    return sha256(password.encode(errors="surrogateescape")).digest()


def as_ipv4(address: str) -> str:
    """Return an address of IPv4 as such, if a socket that is for IPv6 as well shows it as `::ffff:192.0.2.1`."""
    return address[len(_MAPPED) :] if address[: len(_MAPPED)].lower() == _MAPPED and "." in address else address


def client_address(peer: str, forwarded: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the last address that is not one of our proxies. What stands before it, anybody could have sent."""
    said = [as_ipv4(part.strip()) for value in forwarded for part in value.split(",")]
    while said and _is_among(peer, proxies):
        peer = said.pop()
    return peer


def _is_among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in networks)
