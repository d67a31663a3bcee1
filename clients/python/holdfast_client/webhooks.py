"""The signature of a webhook, as Standard Webhooks 1.0 has it (https://www.standardwebhooks.com)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
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
    secret: str,
    *,
    tolerance: float = _TOLERANCE,
    now: float | None = None,
) -> str:
    """Return the id of a webhook, which is the same each time it is sent. Raise `InvalidSignature`.

    `body` is what arrived, byte for byte. `secret` is as it was told when the endpoint was made. A message that is more
    than `tolerance` seconds old, or ahead, is refused, so that nobody can send it again later.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, signatures = (
            sent["webhook-id"],
            sent["webhook-timestamp"],
            sent["webhook-signature"],
        )
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
        seconds = int(timestamp)
    except KeyError as error:
        raise InvalidSignature(f"the header {error} is missing") from None
    except ValueError:
        raise InvalidSignature("the secret or the header webhook-timestamp can't be read") from None
    if abs((time() if now is None else now) - seconds) > tolerance:
        raise InvalidSignature("the message is too old, or from the future")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = b64encode(hmac.digest(key, signed, sha256)).decode()
    for each in signatures.split():
        version, _, signature = each.partition(",")
        if version == "v1" and hmac.compare_digest(signature.encode(), expected.encode()):
            return message_id
    raise InvalidSignature("no signature of the message fits the secret")
