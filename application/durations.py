from datetime import timedelta
from typing import Final

_MILLISECOND: Final = timedelta(milliseconds=1)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def in_words(span: timedelta) -> str:
    """A span of time in one or two units, as in `3 min 20 s`; below zero, where a clock was set, with a sign."""
    milliseconds = round(span / _MILLISECOND)
    if milliseconds < 0:
        return f"-{in_words(-span)}"
    if milliseconds * _MILLISECOND < _SECOND:
        return f"{milliseconds} ms"
    seconds = round(span / _SECOND, 1)
    if seconds * _SECOND < _MINUTE:
        return f"{seconds:g} s"
    left = round(span / _SECOND)
    parts: list[str] = []
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            # What is less than the next unit says little beside this one.
            break
    return " ".join(parts[:2])
