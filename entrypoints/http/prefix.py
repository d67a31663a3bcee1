"""Every address exists twice: as it is, and behind `/v1`, so that a second version of the API can come."""

from typing import Final

from quart import request

V1: Final = "/v1"
# The key of a request's scope.
_PREFIX: Final = "holdfast.prefix"


def split(path: str) -> tuple[str, str]:
    """Return the prefix of a path, which may be empty, and the path behind it."""
    return (V1, path[len(V1) :]) if path.startswith("/v1/") else ("", path)


def keep(scope: dict[str, object], prefix: str) -> None:
    scope[_PREFIX] = prefix


def here(path: str) -> str:
    """Return the path behind the prefix of the current request, for a client that follows it."""
    return f"{request.scope.get(_PREFIX, '')}{path}"
