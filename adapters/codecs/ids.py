from typing import Final

# JavaScript rounds the numbers beyond.
_MAX_NUMBER: Final = 2**53 - 1


def in_json(id_: int | str) -> int | str:
    """Return the id as others read it in JSON: a number that JavaScript would round is a string."""
    return str(id_) if isinstance(id_, int) and id_ > _MAX_NUMBER else id_
