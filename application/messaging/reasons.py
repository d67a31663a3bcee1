"""Why a message could not be processed, as its dead letter tells it."""

from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Final

from domain.dead_letter_groups import reason_of

# The packages of the product. A library that raises was called by one of them, which is the place to look.
_OURS: Final = frozenset({"domain", "application", "adapters", "entrypoints"})


def reason_for(error: Exception) -> str:
    """Return the error, the function in which it was raised, and its message.

    There is no line: it would be another one in each release, and so would the group of the dead letters.
    """
    return reason_of(type(error).__name__, _place(error.__traceback__), str(error))


def _place(traceback: TracebackType | None) -> str:
    frames = list(_frames(traceback))
    ours = [frame for frame in frames if frame[0].partition(".")[0] in _OURS]
    for module, code in reversed(ours or frames):
        return f"{module}.{code.co_qualname}"
    return ""


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, CodeType]]:
    while traceback is not None:
        yield str(traceback.tb_frame.f_globals.get("__name__", "")), traceback.tb_frame.f_code
        traceback = traceback.tb_next
