"""What became of the items of a bulk operation."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from application.operations.bulk import Act, BulkState
from application.ports.files import StoredFile
from application.ports.persistence import Transaction

DONE: Final = "done"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
# It was replayed, or its payment asked for, and there is no outcome.
OPEN: Final = "open"
# What was done with an item whose outcome is awaited.
AWAITED: Final[Mapping[Act, str]] = MappingProxyType(
    {"replay": "it was replayed", "retry": "its payment was asked for"}
)


@frozen
class ItemResult:
    """What became of one item, and why. `id` is that of a dead letter, or of an order as text."""

    id: int | str
    outcome: str
    reason: str = ""


@frozen
class CameOf:
    """What is known by now of items that a worker, and perhaps the payment provider, have to deal with.

    `results` has an item, by its id, once its outcome is known. `stopped` says why no further one is to be taken.
    """

    results: Mapping[Any, ItemResult]
    stopped: str = ""


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


async def noted(tx: Transaction, file: StoredFile, results: Sequence[ItemResult], state: BulkState) -> StoredFile:
    """Append the results to the file of the operation, and keep the state with them."""
    lines = [json.dumps({"id": each.id, "outcome": each.outcome, "reason": each.reason}) + "\n" for each in results]
    state = state.counting([each.outcome for each in results])
    return await tx.files.append(file, "".join(lines).encode(), state.as_json())
