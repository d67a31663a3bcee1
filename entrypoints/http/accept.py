"""The header Accept (RFC 9110, section 12.5.1): which form of a response the client wants."""

import re
from collections.abc import Sequence
from typing import Final

from werkzeug.exceptions import NotAcceptable

JSON: Final = "application/json"
HTML: Final = "text/html"
EVENT_STREAM: Final = "text/event-stream"

_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def preferred(accept: str | None, produced: Sequence[str]) -> str:
    """Return the media type that the client likes best, or the first of equal ones. Raise `NotAcceptable`."""
    # Most requests come with none of these.
    if not accept or accept == "*/*" or accept == produced[0]:
        return produced[0]
    ranges = [_range(text) for text in accept.split(",") if text.strip(" \t")]
    best = max(produced, key=lambda media_type: _quality(media_type, ranges))
    if ranges and not _quality(best, ranges):
        raise NotAcceptable(f"Accept allows nothing of what is here: {', '.join(produced)}")
    return best


def _range(text: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip(" \t").lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip(" \t") == "q" and _QUALITY.fullmatch(value.strip(" \t")):
            return media_range, float(value)
    return media_range, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    # The most specific range decides.
    for wanted in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == wanted]
        if qualities:
            return max(qualities)
    return 0.0
