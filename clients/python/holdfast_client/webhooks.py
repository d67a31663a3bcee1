"""The signature of a webhook, as Standard Webhooks 1.0 has it (https://www.standardwebhooks.com)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from time import time
from typing import Final

from holdfast_client.errors import HoldfastError

_PREFIX: Final = "whsec_"
_TOLERANCE: Final = 300.0


class InvalidSignature(HoldfastError):
    """The message was not signed with this secret, or is too old."""


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Iterable[str],
    *,
    tolerance: float = _TOLERANCE,
    now: float | None = None,
) -> str:
    """Return the id of a webhook, which is the same each time it is sent. Raise `InvalidSignature`.

    `body` is what arrived, byte for byte. `secret` is as it was told when the endpoint was made; with several, one of
    them is enough, so that a receiver can know the new one before it is in use. A message that is more than `tolerance`
    seconds old, or ahead, is refused, so that nobody can send it again later.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, signatures = (
            sent["webhook-id"],
            sent["webhook-timestamp"],
            sent["webhook-signature"],
        )
        secrets = [secret] if isinstance(secret, str) else secret
        keys = [b64decode(each.removeprefix(_PREFIX), validate=True) for each in secrets]
        if not all(keys):
            # Anybody could sign with it.
            raise InvalidSignature("a secret is empty")
        seconds = int(timestamp)
    except KeyError as error:
        raise InvalidSignature(f"the header {error} is missing") from None
    except ValueError:
        raise InvalidSignature("a secret or the header webhook-timestamp can't be read") from None
    if abs((time() if now is None else now) - seconds) > tolerance:
        raise InvalidSignature("the message is too old, or from the future")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = [b64encode(hmac.digest(key, signed, sha256)) for key in keys]
    told = [signature.encode() for version, _, signature in map(_parted, signatures.split()) if version == "v1"]
    # All are compared, so that the time says nothing about which one fits.
    fits = [hmac.compare_digest(each, one) for each in told for one in expected]
    if not any(fits):
        raise InvalidSignature("no signature of the message fits the secret")
    return message_id


def _parted(signature: str) -> tuple[str, str, str]:
    return signature.partition(",")
