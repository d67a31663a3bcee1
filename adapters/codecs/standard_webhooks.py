"""Signed webhooks, as Standard Webhooks 1.0 has them (https://www.standardwebhooks.com)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, Self

from attrs import field, frozen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Bytes of a key, as the specification bounds them.
KEY_BYTES: Final = 32
_FEWEST, _MOST = 24, 64
_PREFIX: Final = "whsec_"
_PRIVATE: Final = "whsk_"
_PUBLIC: Final = "whpk_"
# Bytes of a private key of Ed25519 (RFC 8032).
SEED_BYTES: Final = 32


class Signer(Protocol):
    def signature(self, signed: bytes) -> str:
        """Return a signature with its kind, as in `v1,...`."""


@frozen
class WebhookSecret:
    """What the sender and the receiver of webhooks share."""

    _key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise `ValueError`, whose message does not have the secret."""
        try:
            key = b64decode(text.removeprefix(_PREFIX), validate=True)
        except ValueError:
            key = b""
        if not text.startswith(_PREFIX) or not _FEWEST <= len(key) <= _MOST:
            raise ValueError(f"it is not {_PREFIX} and {_FEWEST} to {_MOST} bytes in base64")
        return cls(key)

    def told(self) -> str:
        """As people and receivers write it: `whsec_...`."""
        return _PREFIX + b64encode(self._key).decode()

    def headers(self, message_id: str, body: bytes, *, at: int) -> dict[str, str]:
        """The headers of one attempt to deliver, as `signed_headers` makes them."""
        return signed_headers([self], message_id, body, at=at)

    def signature(self, signed: bytes) -> str:
        return f"v1,{b64encode(hmac.digest(self._key, signed, sha256)).decode()}"


@frozen
class SigningKey:
    """The shop's own key of Ed25519. Receivers know its public half, with which nobody can sign."""

    _key: "Ed25519PrivateKey" = field(repr=False)

    @classmethod
    def of(cls, seed: bytes) -> Self:
        # Most shops have none, and the import is a part of each command's start.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise `ValueError`, whose message does not have the key."""
        try:
            seed = b64decode(text.removeprefix(_PRIVATE), validate=True)
        except ValueError:
            seed = b""
        if not text.startswith(_PRIVATE) or len(seed) != SEED_BYTES:
            raise ValueError(f"it is not {_PRIVATE} and {SEED_BYTES} bytes in base64; `holdfast webhook-key` makes one")
        return cls.of(seed)

    def told(self) -> str:
        """As the setting has it: `whsk_...`."""
        return _PRIVATE + b64encode(self._key.private_bytes_raw()).decode()

    def public(self) -> str:
        """As receivers get it: `whpk_...`."""
        return _PUBLIC + b64encode(self._key.public_key().public_bytes_raw()).decode()

    def signature(self, signed: bytes) -> str:
        return f"v1a,{b64encode(self._key.sign(signed)).decode()}"


def signed_headers(signers: Sequence[Signer], message_id: str, body: bytes, *, at: int) -> dict[str, str]:
    """The headers of one attempt to deliver. The id is that of the message, the same at each attempt.

    `at` is the time of the attempt, in seconds since 1970: a receiver refuses what is minutes old. While a secret or a
    key is replaced, several sign.
    """
    signed = f"{message_id}.{at}.".encode() + body
    signatures = " ".join(signer.signature(signed) for signer in signers)
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signatures}
