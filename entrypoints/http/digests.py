"""Digests of a body (RFC 9530, the older Digest and Content-MD5): a body that was changed on its way is not used."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import md5, sha1, sha256, sha512
from typing import Any, Final

from werkzeug.datastructures import Headers

from entrypoints.http.refusals import InvalidHeader, each_header, in_header

_MD5: Final = "Content-Md5"
DIGESTS: Final = frozenset({"Content-Digest", "Repr-Digest", "Digest", _MD5})
# The weak ones find damage, if not malice.
_ALGORITHMS: Final[Mapping[str, Callable[[], Any]]] = {
    "sha-256": sha256,
    "sha-512": sha512,
    "sha": partial(sha1, usedforsecurity=False),
    "md5": partial(md5, usedforsecurity=False),
}


class Digests:
    """What a body must have, whose parts are given to `update` as they arrive."""

    def __init__(self, headers: Headers) -> None:
        """Raise `InvalidHeader` if a header has no digest of an algorithm that is known."""
        names = [name for name in sorted(DIGESTS) if name in headers]
        self._expected = each_header(names, lambda name: _expected(name, headers))

    def update(self, part: bytes) -> None:
        for digests in self._expected.values():
            for _, _, found in digests:
                found.update(part)

    def expect(self) -> None:
        """Raise `InvalidHeader` if the body has another digest than the headers say."""
        each_header(self._expected, self._compare)

    def _compare(self, name: str) -> None:
        for algorithm, said, found in self._expected[name]:
            if said != found.digest():
                rule = f"the body that arrived has another {algorithm} digest: send it again"
                raise InvalidHeader(in_header(name, rule, "not_honoured"))


def expect_digests(headers: Headers, body: bytes) -> None:
    """Raise `InvalidHeader` if the body has another digest than the headers say, or if no algorithm is known."""
    digests = Digests(headers)
    digests.update(body)
    digests.expect()


def _expected(name: str, headers: Headers) -> list[tuple[str, bytes, Any]]:
    said = _said(name, ",".join(headers.getlist(name)))
    known = [(algorithm, digest, _ALGORITHMS[algorithm]()) for algorithm, digest in said if algorithm in _ALGORITHMS]
    if not known:
        raise InvalidHeader(
            in_header(name, "send the digest of one of these algorithms: sha-256, sha-512", "not_honoured")
        )
    return known


def _said(name: str, text: str) -> Iterator[tuple[str, bytes]]:
    for part in [f"md5={text}"] if name == _MD5 else text.split(","):
        algorithm, _, written = part.strip(" \t").partition("=")
        try:
            # RFC 9530 writes a digest between colons, its predecessor without.
            yield algorithm.lower(), b64decode(written.strip(" \t").strip(":"), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidHeader(in_header(name, "a digest is written in base64, as in sha-256=:...:")) from None
