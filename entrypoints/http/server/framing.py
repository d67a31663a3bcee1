"""Which heads leave a doubt where their request ends, or which resource it is for (RFC 9112, section 11).

The parser refuses most of them: two lengths, obsolete line folding, a bare LF or CR, a malformed chunk. Here are the
others.
"""

import re
from collections.abc import Sequence
from typing import Final

from entrypoints.http.problem_kinds import BAD_PROTOCOL, HEAD_TOO_LARGE, UNKNOWN_CODING, Kind

# URL and headers together. Browsers and proxies stay far below it.
MAX_HEAD: Final = 32 * 1024

# RFC 9112, section 3.2: the absolute form, as proxies send it, without a user (RFC 9110, section 4.2.4), and `*`.
_OTHER_FORMS: Final = re.compile(rb"\*|(?i:https?)://[^/?@]+(?:[/?].*)?")

_Fields = Sequence[tuple[bytes, bytes]]


def problem_of_head(version: str, url: bytes, headers: _Fields) -> Kind | None:
    """Return why the request is refused, or None. The names of the headers are in lower case."""
    size, hosts, is_coded = len(url), 0, False
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            is_coded = True
    if size > MAX_HEAD:
        return HEAD_TOO_LARGE
    if version != "1.1" and (version != "1.0" or is_coded):
        # RFC 9112, section 6.1: HTTP/1.0 has no Transfer-Encoding, so a proxy may have read the body differently.
        return BAD_PROTOCOL
    if hosts != 1 and (hosts or version == "1.1"):
        # RFC 9112, section 3.2. A proxy in front of this server may have used another Host header than this server.
        return BAD_PROTOCOL
    if b"#" in url or (url[:1] != b"/" and not _OTHER_FORMS.fullmatch(url)):
        # RFC 9112, section 3.2: no request target has a fragment.
        return BAD_PROTOCOL
    return _problem_of_codings(headers) if is_coded else None


def is_rtsp(method: bytes, url: bytes, received: bytes) -> bool:
    """Return whether this request line, in the bytes that were received, names RTSP.

    The parser takes it for HTTP, and does not tell which it was.
    """
    if b"RTSP/" not in received:
        return False
    return re.search(rb"%b +%b +RTSP/" % (re.escape(method), re.escape(url)), received) is not None


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: _Fields) -> bytes:
    fields = b"".join(b"%b: %b\r\n" % field for field in headers if field[0] != b"upgrade")
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, url, version.encode(), fields)


def _problem_of_codings(headers: _Fields) -> Kind | None:
    """RFC 9112, section 6.1: 501 for a coding that is not known. The last one must be `chunked`."""
    codings = b",".join(value.lower() for name, value in headers if name == b"transfer-encoding")
    names = [name.strip(b" \t") for name in codings.split(b",") if name.strip(b" \t")]
    if names == [b"chunked"]:
        return None
    return UNKNOWN_CODING if names[-1:] == [b"chunked"] else BAD_PROTOCOL
