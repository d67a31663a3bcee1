"""What a shop notes about something of its own: a few short texts under keys that it chooses."""

from collections.abc import Mapping
from typing import Final

from domain.errors import InvalidMetadata

MAX_KEYS: Final = 50
MAX_KEY: Final = 40
MAX_VALUE: Final = 500


def with_changes(metadata: Mapping[str, str], changes: Mapping[str, str | None]) -> Mapping[str, str]:
    """Return the metadata with these changes; None removes a key. Raise `InvalidMetadata` for what is above a limit.

    Only what changes is checked, since a limit may be lower than it was.
    """
    for key, value in changes.items():
        if not 1 <= len(key) <= MAX_KEY:
            raise InvalidMetadata(f"a key has 1 to {MAX_KEY} characters", field="metadata")
        if value is not None and len(value) > MAX_VALUE:
            raise InvalidMetadata(f"the value of {key} has more than {MAX_VALUE} characters", field="metadata")
    together: dict[str, str | None] = {**metadata, **changes}
    kept = {key: value for key, value in together.items() if value is not None}
    if len(kept) > MAX_KEYS and len(kept) > len(metadata):
        raise InvalidMetadata(f"there are at most {MAX_KEYS} keys", field="metadata")
    return kept
