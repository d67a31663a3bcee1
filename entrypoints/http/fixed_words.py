"""Fixed words where other addresses have an id: `/orders/check` is no order, whichever the method."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from werkzeug.routing import BaseConverter, Map

APART_FROM: Final = "apart_from"
_NAME: Final = re.compile(r"<(\w+)>")


class ApartFrom(BaseConverter):
    """A part of a path that is none of these words."""

    def __init__(self, url_map: Map, *words: str) -> None:
        super().__init__(url_map)
        self.regex = rf"(?!(?:{'|'.join(map(re.escape, words))})$)[^/]+"


def rules_of(paths: Collection[str]) -> Mapping[str, str]:
    """Return the rule of routing for each path.

    Without it, a method that a fixed address does not have would be taken for one about the id of that name.
    """
    words: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in paths:
        parts = _NAME.sub("<>", path).split("/")
        for at, part in enumerate(parts):
            if part != "<>":
                words[tuple(parts[:at])].add(part)
    return {path: _rule(path, words) for path in paths}


def _rule(path: str, words: Mapping[tuple[str, ...], Collection[str]]) -> str:
    parts, names = _NAME.sub("<>", path).split("/"), path.split("/")
    for at, part in enumerate(parts):
        beside = words.get(tuple(parts[:at]), ())
        if part == "<>" and beside:
            listed = ", ".join(f'"{word}"' for word in sorted(beside))
            names[at] = _NAME.sub(rf"<{APART_FROM}({listed}):\1>", names[at])
    return "/".join(names)
