"""Where a reader of the feed is, and how it reads a stream of server-sent events (HTML, section 9.2)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx

from holdfast_client.calls import LONGEST_WAIT, Call, event_filter, event_page
from holdfast_client.models import Event, EventPage

STREAM: Final = "/events/stream"
# A stream is never quiet for longer than 10 s. What is between may hold it back, and then it is given up.
QUIET: Final = 25.0
# How many pages are read after a stream that told nothing, before another one is tried.
_PAGES: Final = 30


@dataclass(slots=True)
class Following:
    """One reader. It goes on after `after`, whichever way it reads: by stream, or by pages when no stream comes."""

    after: int
    types: Sequence[str]
    order_id: UUID | str | None
    _pages_left: int = 0
    _told: bool = False
    _fields: dict[str, str] = field(default_factory=dict)

    @property
    def streams(self) -> bool:
        """Whether a stream is to be tried next."""
        return self._pages_left == 0

    def begin_stream(self) -> dict[str, Any]:
        """Return the parameters of the stream."""
        self._fields.clear()
        self._told = False
        return event_filter(after=self.after, types=self.types, order_id=self.order_id)

    def take_line(self, line: str) -> Event | None:
        """Return the event that ends with this line, if one does."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "id" not in fields or "data" not in fields:
            # A comment, the pause, or a reset: for that, the next page tells what is wrong.
            return None
        event = Event.of(json.loads(fields["data"]))
        self.after, self._told = int(fields["id"]), True
        return event

    def end_stream(self) -> None:
        """Go on by a page, which tells what is wrong, if anything is; by many, if the stream has told nothing."""
        self._pages_left = 1 if self._told else _PAGES

    def page(self) -> Call[EventPage]:
        return event_page(after=self.after, types=self.types, order_id=self.order_id, wait=LONGEST_WAIT)

    def take_page(self, page: EventPage) -> Sequence[Event]:
        self.after = page.next
        self._pages_left -= 1
        return page.items


def is_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("Content-Type", "")
    return response.status_code == httpx.codes.OK and kind.startswith("text/event-stream")
