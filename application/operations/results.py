"""What became of the items of a bulk operation."""

from typing import Final

from attrs import frozen

DONE: Final = "done"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
# It was replayed, and there is no outcome.
OPEN: Final = "open"


@frozen
class ItemResult:
    """What became of one item, and why. `id` is that of a dead letter, or of an order as text."""

    id: int | str
    outcome: str
    reason: str = ""


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
