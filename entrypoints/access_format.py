"""How a line of the access log is written: `common`, `combined`, `json`, or a text with `%(h)s` and the like.

The letters are those of gunicorn, so that a format of another service can be kept. What an address asks for, its query,
may name customers. So it stands nowhere but where `%(q)s` asks for it: not in the request line, and not in the referer.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from attrs import frozen

COMMON: Final = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
_NAMED: Final = MappingProxyType({"common": COMMON, "combined": f'{COMMON} "%(f)s" "%(a)s"'})
_ATOM: Final = re.compile(r"%\(([^)]*)\)s|%%|%")
_QUERY: Final = re.compile(r"[?#].*", re.DOTALL)
_UNSAFE: Final = re.compile(r'[^ -~]|["\\]')


@frozen(kw_only=True)
class Access:
    """One request and its response."""

    at: datetime
    client: str
    method: str
    # Without the query.
    path: str
    query: str
    version: str
    status: int
    # Of the body of the response.
    length: int
    seconds: float
    # By their names in lower case.
    headers: Mapping[str, str]
    request_id: str


WriteLine = Callable[[Access], str]

_ATOMS: Final[Mapping[str, WriteLine]] = MappingProxyType(
    {
        "h": lambda access: access.client,
        "l": lambda _: "-",
        "u": lambda _: "-",
        "t": lambda access: f"[{access.at:%d/%b/%Y:%H:%M:%S %z}]",
        "r": lambda access: f"{access.method} {access.path} HTTP/{access.version}",
        "m": lambda access: access.method,
        "U": lambda access: access.path,
        "q": lambda access: access.query,
        "H": lambda access: f"HTTP/{access.version}",
        "s": lambda access: str(access.status),
        "b": lambda access: str(access.length or "-"),
        "B": lambda access: str(access.length),
        "f": lambda access: _QUERY.sub("", access.headers.get("referer", "-")),
        "a": lambda access: access.headers.get("user-agent", "-"),
        "T": lambda access: str(int(access.seconds)),
        "M": lambda access: str(int(access.seconds * 1000)),
        "D": lambda access: str(int(access.seconds * 1_000_000)),
        "L": lambda access: f"{access.seconds:.6f}",
        "{request-id}o": lambda access: access.request_id,
    }
)


def line_writer(text: str) -> WriteLine:
    """Raise `ValueError`."""
    if text == "json":
        return _json
    text = _NAMED.get(text, text)
    if "%(" not in text:
        raise ValueError(f"{text[:40]!r} is neither common, combined nor json, and has nothing like %(h)s in it")
    parts: list[WriteLine] = []
    end = 0
    for match in _ATOM.finditer(text):
        parts.append(_constant(text[end : match.start()]))
        end = match.end()
        if match[0] == "%%":
            parts.append(_constant("%"))
        elif match[1] in _ATOMS:
            parts.append(_safe(_ATOMS[match[1]]))
        else:
            raise ValueError(f"there is no {match[0][:40]!r}; there are {', '.join(f'%({name})s' for name in _ATOMS)}")
    parts.append(_constant(text[end:]))
    return lambda access: "".join([part(access) for part in parts])


def _constant(text: str) -> WriteLine:
    return lambda _: text


def _safe(atom: WriteLine) -> WriteLine:
    """No client can end a line or a quoted text with what it sends, of which each character is a byte."""
    return lambda access: _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02X}", atom(access))


def _json(access: Access) -> str:
    return json.dumps(
        {
            "time": access.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "client": access.client,
            "method": access.method,
            "path": access.path,
            "status": access.status,
            "length": access.length,
            "seconds": round(access.seconds, 6),
            "request_id": access.request_id,
        }
    )
