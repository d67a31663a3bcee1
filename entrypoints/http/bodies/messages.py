"""The JSON of messages."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from domain.message import MAX_CONTENT, Message, expect_content
from entrypoints.http.field_errors import Rule


class MessageContentBody(Struct, frozen=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT), Rule(expect_content)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class MessageBody(Struct, frozen=True):
    message_id: UUID
    order_id: UUID | None
    content: str
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> "MessageBody":
        return cls(message.id, message.order_id, message.content, message.created_at)


class MessagesBody(Struct, frozen=True):
    items: list[MessageBody]
    next: str | None
