"""The audit: who changed what, written in the transaction of the change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

MAX_TEXT: Final = 200


@frozen
class Caller:
    """Who asked for a change, and with which request."""

    key_id: str
    request_id: str = ""


@frozen(kw_only=True)
class AuditEntry:
    """One change. `before` and `after` have what was changed, as JSON can hold it."""

    # Given when it is stored.
    id: int = field(default=0, eq=False)
    at: datetime
    by: Caller
    # As in `order.cancelled` or `key.revoked`.
    action: str
    # As in `order 0195...` or `product 7`.
    subject: str
    before: Mapping[str, Any] = field(factory=dict)
    after: Mapping[str, Any] = field(factory=dict)
    reason: str = ""
