"""What both clients send with each request, and how much they ask for."""

from typing import Final

PAGE: Final = 200
# Seconds. The API answers within ten, and a page of the feed may wait for as long.
TIMEOUT: Final = 20.0


def headers(key: str | None) -> dict[str, str]:
    own = {"Accept": "application/json, text/event-stream", "User-Agent": "holdfast-client"}
    return own if key is None else own | {"Authorization": f"Bearer {key}"}
