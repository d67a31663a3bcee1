"""What JSON has no type for, as the encoders write it."""

from application.execution.working_for import TracedId


def plain(value: object) -> str:
    """Return a text that is a subclass of `str` as the text that it is. Raise `NotImplementedError` for others."""
    if isinstance(value, TracedId):
        return str(value)
    raise NotImplementedError(f"objects of type {type(value).__name__} can't be encoded")
