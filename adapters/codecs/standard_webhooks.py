"""Signed webhooks, as Standard Webhooks 1.0 has them (https://www.standardwebhooks.com)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Self

from attrs import field, frozen

# Bytes of a key, as the specification bounds them.
KEY_BYTES: Final = 32
_FEWEST, _MOST = 24, 64
_PREFIX: Final = "whsec_"


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


def signed_headers(secrets: Sequence[WebhookSecret], message_id: str, body: bytes, *, at: int) -> dict[str, str]:
    """The headers of one attempt to deliver. The id is that of the message, the same at each attempt.

    `at` is the time of the attempt, in seconds since 1970: a receiver refuses what is minutes old. While a secret is
    replaced, several sign.
    """
    signed = f"{message_id}.{at}.".encode() + body
    signatures = " ".join(secret.signature(signed) for secret in secrets)
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signatures}
