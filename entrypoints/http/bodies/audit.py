"""The JSON of the audit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from application.ports.audit import AuditEntry


class AuditEntryBody(Struct, frozen=True):
    id: int
    time: datetime
    key_id: str
    request_id: str
    action: str
    subject: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryBody":
        return cls(
            entry.id,
            entry.at,
            entry.by.key_id,
            entry.by.request_id,
            entry.action,
            entry.subject,
            entry.before,
            entry.after,
            entry.reason,
        )


class AuditBody(Struct, frozen=True):
    items: list[AuditEntryBody]
    next: str | None
