"""The signature of a webhook, as Standard Webhooks 1.0 has it (https://www.standardwebhooks.com)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from time import time
from typing import Final

from holdfast_client.errors import HoldfastError

_PREFIX: Final = "whsec_"
_PUBLIC: Final = "whpk_"
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

    `body` is what arrived, byte for byte. `secret` is as it was told when the endpoint was made, or a public key of the
    shop (`whpk_...`, from `webhook_keys()`) where the endpoint's `signature` is `v1a`; with several, one of them is
    enough, so that a receiver can know the new one before it is in use. A message that is more than `tolerance` seconds
    old, or ahead, is refused, so that nobody can send it again later. Public keys need `holdfast-client[ed25519]`:
    without it, `ImportError` is raised.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, signatures = (
            sent["webhook-id"],
            sent["webhook-timestamp"],
            sent["webhook-signature"],
        )
        secrets = [secret] if isinstance(secret, str) else list(secret)
        keys = [b64decode(each.removeprefix(_PREFIX), validate=True) for each in secrets if not _is_public(each)]
        public = [b64decode(each.removeprefix(_PUBLIC), validate=True) for each in secrets if _is_public(each)]
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
    parts = [(version, signature.encode()) for version, _, signature in map(_parted, signatures.split())]
    expected = [b64encode(hmac.digest(key, signed, sha256)) for key in keys]
    told = [signature for version, signature in parts if version == "v1"]
    # All are compared, so that the time says nothing about which one fits.
    fits = [hmac.compare_digest(each, one) for each in told for one in expected]
    # Always asked where there is a public key, so that a missing library is found with the first message.
    if not any(fits) and not (public and _is_signed(signed, [each for kind, each in parts if kind == "v1a"], public)):
        raise InvalidSignature("no signature of the message fits the secret")
    return message_id


def _parted(signature: str) -> tuple[str, str, str]:
    return signature.partition(",")


def _is_public(secret: str) -> bool:
    return secret.startswith(_PUBLIC)


def _is_signed(signed: bytes, signatures: Iterable[bytes], public_keys: Iterable[bytes]) -> bool:
    """Whether one of the keys has signed it, by Ed25519."""
    try:
        from cryptography.exceptions import InvalidSignature as Unfit  # noqa: PLC0415 - most receivers need none of it
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError:
        raise ImportError(
            "a public key (whpk_...) needs the library cryptography: pip install 'holdfast-client[ed25519]'"
        ) from None
    try:
        keys = [Ed25519PublicKey.from_public_bytes(key) for key in public_keys]
    except ValueError:
        raise InvalidSignature("a public key is not one of Ed25519") from None
    for key in keys:
        for signature in signatures:
            try:
                key.verify(b64decode(signature, validate=True), signed)
            except (Unfit, ValueError):
                continue
            return True
    return False
