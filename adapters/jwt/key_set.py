"""The public keys of an identity provider (JWKS, RFC 7517), from a file or a URL."""

import asyncio
import json
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.request import Request, urlopen

import structlog
from attrs import define, field
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from application.access.principal import Unauthenticated
from application.errors import Unavailable

_TIMEOUT: Final = 5.0
_MOST_BYTES: Final = 1_000_000

_log: Final = structlog.get_logger("holdfast.jwt")


@define(eq=False)
class KeySet:
    """Keys by their id. They are read again every `refresh` seconds, and at most every `pause` for an unknown id.

    While the provider is away, the keys that are known stay.
    """

    # A path, or an address that begins with https:// or http://.
    _source: str
    _refresh: float = field(default=600.0, kw_only=True)
    _pause: float = field(default=60.0, kw_only=True)
    _keys: Mapping[str, PyJWK] = field(factory=dict, init=False)
    _read_at: float = field(default=float("-inf"), init=False)
    _tried_at: float = field(default=float("-inf"), init=False)
    _reading: "asyncio.Task[None] | None" = field(default=None, init=False)

    async def get(self, key_id: str) -> PyJWK:
        """Raise `Unauthenticated` for an unknown key, `Unavailable` if no keys could be read yet."""
        known, now = self._keys.get(key_id), monotonic()
        due = now - self._read_at > self._refresh or known is None
        if due and now - self._tried_at > self._pause and self._reading is None:
            self._tried_at = now
            self._reading = asyncio.get_running_loop().create_task(self._read())
        if known is None and self._reading is not None:
            # The caller may hang up, and the reading goes on for the others.
            await asyncio.shield(self._reading)
            known = self._keys.get(key_id)
        if known is not None:
            return known
        if not self._keys:
            raise Unavailable("the keys of the identity provider could not be read")
        raise Unauthenticated("the token is signed with a key that the identity provider does not publish")

    async def _read(self) -> None:
        try:
            self._keys, self._read_at = await keys_at(self._source), monotonic()
        except Unavailable as error:
            _log.warning("the keys of the identity provider can't be read", source=self._source, reason=str(error))
        finally:
            self._reading = None


async def keys_at(source: str) -> Mapping[str, PyJWK]:
    """Read the keys from a path or an address. Raise `Unavailable`."""
    try:
        return _keys_in(await asyncio.to_thread(_load, source))
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise Unavailable(str(error)) from error


def _load(source: str) -> Any:
    if source.startswith(("https://", "http://")):
        with urlopen(Request(source, headers={"Accept": "application/json"}), timeout=_TIMEOUT) as answer:  # noqa: S310 - its beginning was checked
            content = answer.read(_MOST_BYTES + 1)
    else:
        with Path(source).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    return json.loads(content)


def _keys_in(document: Any) -> Mapping[str, PyJWK]:
    """Return the keys that can be used. Others, such as those for encryption, are left out."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("it is no JSON Web Key Set")  # noqa: TRY004 - a document that is wrong, as below
    keys: dict[str, PyJWK] = {}
    for each in document["keys"]:
        # A symmetric key would let everybody sign who can read it.
        usable = isinstance(each, dict) and each.get("kty") != "oct" and each.get("use", "sig") == "sig"
        if usable and isinstance(each.get("kid"), str):
            try:
                keys[each["kid"]] = PyJWK.from_dict(each)
            except (PyJWTError, ValueError, TypeError, KeyError):
                continue
    if not keys:
        raise ValueError("there is no key in it that can be used")
    return keys
