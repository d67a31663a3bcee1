from datetime import datetime
from typing import Final

from attrs import field, frozen

from domain.errors import DomainError
from domain.ids import JobId, OrderId

# Characters of a new message. What was stored under another limit can still be read.
MAX_CONTENT: Final = 10_000


class InvalidMessage(DomainError):
    """A message without content, or with too much."""

    code = "invalid_message"


@frozen(kw_only=True)
class Message:
    """Something that was said, about an order or in general. It has the id of the job that stored it."""

    id: JobId
    content: str = field(repr=False)
    order_id: OrderId | None = None
    created_at: datetime


def expect_content(content: str) -> None:
    """Raise `InvalidMessage` for what may not enter."""
    if not 1 <= len(content) <= MAX_CONTENT or "\0" in content:
        raise InvalidMessage(f"content has 1 to {MAX_CONTENT} characters, and no NUL", field="content")
