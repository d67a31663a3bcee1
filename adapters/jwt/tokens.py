"""Tokens of an identity provider (JWT, RFC 7519)."""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from time import monotonic, time
from typing import Any, Final

import jwt
from attrs import define, field, frozen
from jwt.exceptions import PyJWTError

from adapters.jwt.key_set import KeySet
from application.access.limits import FailedAttempts
from application.access.principal import Principal, Unauthenticated
from application.access.scopes import CUSTOMER_SCOPES, Scope
from domain.ids import customer_id

# Only signatures with a private key: nobody who can verify one can make one.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY: Final = 60.0
_MOST_BYTES: Final = 8192
# How long a verified token is taken without verifying it again, in seconds, and how many are known.
_KNOWN_FOR: Final = 60.0
_MOST_KNOWN: Final = 10_000
_LONGEST_NAME: Final = 150
_SCOPES: Final = frozenset(map(str, Scope))


@frozen
class Issuer:
    """What a token must say, and what its claims mean."""

    issuer: str
    audience: str
    # The claim with the id of the customer. A token without it acts for the shop.
    user_claim: str = "sub"
    scope_claim: str = "scope"


@define(eq=False)
class TokenCallers:
    """Returns who a token speaks for. Raise `Unauthenticated`, `TooManyGuesses` or `Unavailable`."""

    _issuer: Issuer
    _keys: KeySet
    _failed: FailedAttempts = field(factory=FailedAttempts)
    # By the hash of the token, the longest known first: who it is, and until when.
    _known: OrderedDict[bytes, tuple[Principal, float]] = field(factory=OrderedDict, init=False)

    async def __call__(self, token: str, address: str) -> Principal:
        if len(token) > _MOST_BYTES:
            raise Unauthenticated("the token is too long")
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and monotonic() < known[1]:
            return known[0]
        self._failed.expect_room(address)
        try:
            claims = await self._verified(token)
            principal = self._principal(claims)
        except Unauthenticated:
            self._failed.note(address)
            raise
        self._known.pop(digest, None)
        self._known[digest] = principal, monotonic() + min(_KNOWN_FOR, claims["exp"] + _LEEWAY - time())
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return principal

    async def _verified(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError) as error:
            raise Unauthenticated(f"the token can't be read: {error}") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise Unauthenticated(f"the token must be signed with one of {', '.join(ALGORITHMS)}")
        if not isinstance(key_id, str):
            raise Unauthenticated("the token does not name its key (`kid`)")
        key = await self._keys.get(key_id)
        if key.algorithm_name != algorithm:
            raise Unauthenticated("the token is signed in another way than its key is for")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=[algorithm],
                issuer=self._issuer.issuer,
                audience=self._issuer.audience,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
            # PyJWT also takes a text, and a number that no clock can show.
            claims["exp"] = float(claims["exp"])
        except (PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unauthenticated(f"the token is not valid: {error}") from None
        return claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        scopes = frozenset(Scope(scope) for scope in _words(claims.get(self._issuer.scope_claim)) & _SCOPES)
        # Without a subject the customer is who calls: those without a name would share one limit, and one in the audit.
        name = f"jwt:{claims.get('sub', claims.get(self._issuer.user_claim, ''))}"[:_LONGEST_NAME]
        if not name.isprintable():
            raise Unauthenticated("the claim sub of the token has characters that are not printable")
        if self._issuer.user_claim not in claims:
            return Principal(name, scopes=scopes)
        # It may be null: a customer that is not known yet is not the shop.
        whose = claims[self._issuer.user_claim]
        if not isinstance(whose, int | str) or isinstance(whose, bool):
            raise Unauthenticated(f"the claim {self._issuer.user_claim} of the token is neither a number nor a text")
        try:
            return Principal(name, user_id=customer_id(whose), scopes=scopes & CUSTOMER_SCOPES)
        except ValueError as error:
            raise Unauthenticated(f"the claim {self._issuer.user_claim} of the token is wrong: {error}") from None


def _words(claim: Any) -> frozenset[str]:
    """Return the scopes of a claim: a text with spaces between them (OAuth 2), or a list."""
    if isinstance(claim, str):
        return frozenset(claim.split())
    return frozenset(each for each in claim if isinstance(each, str)) if isinstance(claim, list) else frozenset()
