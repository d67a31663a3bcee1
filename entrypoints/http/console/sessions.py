"""The session of a browser: the key with which somebody signed in, sealed into a cookie.

Each request looks at the key as the API does. So a revoked key ends its session as fast, and no open session is stored.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

import msgspec
from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.codecs.plain import plain
from application.ports.sessions import Session

# `__Host-`: the browser takes it over a connection that it trusts alone, for this host and for no other.
COOKIE: Final = "__Host-holdfast-session"
LASTS: Final = timedelta(hours=12)
# A browser keeps cookies of up to 4 KiB.
MAX_TOKEN: Final = 2800

_NONCE: Final = 12
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Strict"


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    token: str
    until: float


@frozen
class SignedIn:
    """What a cookie holds: the session, and the key of whoever has signed in."""

    session: Session
    token: str = field(repr=False)


@frozen
class Sessions:
    """Seals keys into cookies. All processes with the same secret take the cookies of each other."""

    _secret: bytes = field(repr=False)
    _now: Callable[[], datetime]

    def begin(self, token: str) -> tuple[Session, str]:
        """Return a new session, and the value of the header Set-Cookie."""
        until = self._now() + LASTS
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(
            nonce, msgspec.json.encode(_Sealed(token, until.timestamp()), enc_hook=plain), COOKIE.encode()
        )
        value = urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()
        cookie = f"{COOKIE}={value}; Max-Age={int(LASTS.total_seconds())}; {_ATTRIBUTES}"
        return Session(_id_of(nonce + sealed), until), cookie

    def end(self) -> str:
        return f"{COOKIE}=; Max-Age=0; {_ATTRIBUTES}"

    def read(self, cookie: str | None) -> SignedIn | None:
        """Return None if the cookie has no key, was sealed by another shop, or has had its time."""
        if not cookie:
            return None
        try:
            raw = urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            sealed = msgspec.json.decode(
                self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], COOKIE.encode()), type=_Sealed
            )
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None
        if self._now().timestamp() >= sealed.until:
            return None
        return SignedIn(Session(_id_of(raw), datetime.fromtimestamp(sealed.until, UTC)), sealed.token)

    @property
    def _cipher(self) -> AESGCM:
        return AESGCM(sha256(b"console sessions of " + self._secret).digest())


def _id_of(raw: bytes) -> str:
    """Not of the text, of which there are several that mean the same bytes. The seal lets no other bytes be."""
    return sha256(raw).hexdigest()
