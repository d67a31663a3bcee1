"""A part of something whose bytes never change (RFC 9110, section 14): a download that broke off can be resumed."""

import re
from typing import Final

from attrs import frozen
from werkzeug.datastructures import Headers

RANGES: Final = frozenset({"Range", "If-Range"})

_RANGE: Final = re.compile(r"(?i:bytes)=[ \t]*(?P<first>\d{0,18})-(?P<last>\d{0,18})[ \t]*", re.ASCII)


class UnsatisfiableRange(Exception):
    """The range begins behind the end."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it has {size} bytes: ask for a range that begins before its end")
        self.size = size


@frozen
class Stretch:
    """The bytes from `start` up to, and without, `end`."""

    start: int
    end: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


def stretch_in(headers: Headers, *, size: int, etag: str) -> Stretch | None:
    """Return the part that is asked for. None stands for all. Raise `UnsatisfiableRange`.

    As RFC 9110 wants it, a range that can't be read, several ranges at once, and a range of another version than the
    client has (`If-Range`) are answered with all.
    """
    asked = _RANGE.fullmatch(headers.get("Range", "").strip(" \t"))
    if asked is None or len(headers.getlist("Range")) > 1 or headers.get("If-Range", etag) != etag:
        return None
    first, last = asked["first"], asked["last"]
    if not first and not last:
        return None
    if not first:
        # The last bytes, as many as are asked for.
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last or size) + 1, size)
        if last and int(last) < start:
            return None
    if start >= size or start == end:
        raise UnsatisfiableRange(size)
    return Stretch(start, end)
