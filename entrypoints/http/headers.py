from typing import Any

from werkzeug.datastructures import Headers


class PlainHeaders(Headers):
    """Headers that are made of pairs as they are.

    Werkzeug looks through each name and value for what the server refuses anyway, and raises and catches an error with
    a text for each header that is asked for and isn't there.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._list = pairs

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # type: ignore[override]  # noqa: A002 - Werkzeug's signature, without its overloads
        wanted = key.lower()
        for name, value in self._list:
            if name.lower() == wanted:
                return value if type is None else super().get(key, default, type)
        return default
