"""A SQLite file as DATABASE_URL names it: `sqlite:///shop.db` in this folder, `sqlite:////srv/shop.db` anywhere."""

import re
from pathlib import Path
from typing import Final

from entrypoints.server_urls import decoded

_SCHEME: Final = re.compile(r"(sqlite|sqlite\+aiosqlite):")
_FORM: Final = "write sqlite:///shop.db for a file in the current folder, and sqlite:////var/lib/shop.db for any other"


def is_sqlite(url: str) -> bool:
    return _SCHEME.match(url) is not None


def sqlite_file(url: str) -> Path:
    """The file that the URL names. Raise `ValueError`."""
    _, _, rest = url.partition(":")
    if not rest.startswith("///"):
        raise ValueError(f"has no three slashes after sqlite:; {_FORM}")
    if "?" in rest or "#" in rest:
        raise ValueError("a SQLite file has no options; write %3F for ? and %23 for # in its name")
    name = decoded(rest.removeprefix("///"))
    if name in {"", ":memory:"}:
        raise ValueError(f"names no file, and orders in memory alone would be lost; {_FORM}")
    if name.endswith("/") or Path(name).name in {"", ".", ".."} or Path(name).is_dir():
        raise ValueError(f"names a folder; {_FORM}")
    return Path(name)
