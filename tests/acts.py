"""What every transaction in memory has to keep: an entry of the audit is written with the act that it tells of."""

from typing import Any

from attrs import fields

from adapters.memory.overlay import Overlay
from adapters.memory.store import Changes

# What is no act: the entries themselves, and what the memory notes about its data.
_NO_ACT = {"store", "audit", "committed", "recorded_at", "idempotency_keys"}


def entries_without_an_act(changes: Changes) -> list[str]:
    """Return the actions in the audit of a transaction that did nothing else: a crash would part the two."""
    if not changes.audit or any(_written(changes, each.name) for each in fields(Changes) if each.name not in _NO_ACT):
        return []
    return [entry.action for entry in changes.audit]


def _written(changes: Changes, name: str) -> Any:
    value = getattr(changes, name)
    return value.written if isinstance(value, Overlay) else value
