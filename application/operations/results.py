"""What became of the items of a bulk operation."""

import json
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from application.operations.bulk import BulkState
from application.ports.files import StoredFile
from application.ports.persistence import Transaction

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


async def noted(tx: Transaction, file: StoredFile, results: Sequence[ItemResult], state: BulkState) -> StoredFile:
    """Append the results to the file of the operation, and keep the state with them."""
    lines = [json.dumps({"id": each.id, "outcome": each.outcome, "reason": each.reason}) + "\n" for each in results]
    state = state.counting([each.outcome for each in results])
    return await tx.files.append(file, "".join(lines).encode(), state.as_json())
