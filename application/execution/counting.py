"""How far lists are counted."""

from typing import Final

# A list has so many items, or more. To count on would be to read through a table that grows.
MOST_COUNTED: Final = 10_000
