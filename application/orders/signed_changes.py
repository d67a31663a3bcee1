"""The signature of a change that goes through the queue: whoever may write to the broker can put messages there."""

import hashlib
import hmac
from typing import Final

from attrs import evolve

from domain.orders.events import OrderChangeAccepted

# Between the fields: none of those before the last one can contain it.
_SEPARATOR: Final = "\n"


def signed(change: OrderChangeAccepted, secret: bytes) -> OrderChangeAccepted:
    return evolve(change, signature=_signature(change, secret))


def is_signed(change: OrderChangeAccepted, secret: bytes) -> bool:
    return hmac.compare_digest(change.signature.encode(), _signature(change, secret).encode())


def _signature(change: OrderChangeAccepted, secret: bytes) -> str:
    """Return the HMAC-SHA256 of everything that the change says, in hexadecimal digits."""
    fields = (
        change.type,
        str(change.order_id),
        str(change.sequence),
        str(change.job_id),
        change.at.isoformat(),
        change.request_id or "",
        change.asked,
    )
    return hmac.new(secret, _SEPARATOR.join(fields).encode(), hashlib.sha256).hexdigest()
