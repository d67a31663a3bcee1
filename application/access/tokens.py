"""The text of an API key: `hf_{live|test}_{role}_`, 32 random characters, and six of a checksum.

So a mistyped key is refused without a look into the database, and a scanner finds one that was published.
"""

import re
from hashlib import sha256
from typing import Final
from zlib import crc32

from application.access.scopes import Role
from application.ports.api_keys import ID_LENGTH, Kind

BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH: Final = 32
_CHECKSUM_LENGTH: Final = 6
_TOKEN: Final = re.compile(
    rf"(?P<start>hf_(?:live|test)_(?:{'|'.join(Role)})_(?P<secret>[0-9A-Za-z]{{{SECRET_LENGTH}}}))"
    rf"(?P<checksum>[0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)
_ID: Final = re.compile(f"[0-9A-Za-z]{{{ID_LENGTH}}}")


def token_of(kind: Kind, role: str, secret: str) -> str:
    """Return the whole key. `secret` is `SECRET_LENGTH` random characters of `BASE62`."""
    start = f"hf_{kind}_{role}_{secret}"
    return start + _checksum(start)


def id_of(secret: str) -> str:
    return secret[:ID_LENGTH]


def is_id(text: str) -> bool:
    """Whether a key can have this id."""
    return _ID.fullmatch(text) is not None


def id_in(token: str) -> str | None:
    """Return the id of the key, or None if no key can look like this."""
    found = _TOKEN.fullmatch(token)
    if found is None or found["checksum"] != _checksum(found["start"]):
        return None
    return id_of(found["secret"])


def digest_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    rest, digits = crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
