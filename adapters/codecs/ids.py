from domain.ids import MAX_EXACT


def in_json(id_: int | str) -> int | str:
    """Return the id as others read it in JSON: a number that JavaScript would round is a string."""
    return str(id_) if isinstance(id_, int) and id_ > MAX_EXACT else id_
