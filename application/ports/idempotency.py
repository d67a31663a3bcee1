"""What a client says so that it can ask again without harm, and what is kept for that."""

from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from attrs import frozen

from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.order import Order

# The bits of a UUID that say which kind it is: version 8 (RFC 9562), one's own way of making it.
_KIND: Final = 0xF << 76 | 0b11 << 62
_VERSION_8: Final = 0x8 << 76 | 0b10 << 62

# What the shop says to a request: the order as it was at that moment, or why there is none.
Answer = Order | DomainError


@frozen
class IdempotencyKey:
    """A client's own name for one request.

    `scope` says whose name it is, so that two clients may choose the same one. Nobody proves who they are yet: it is
    taken from what is asked for, and an authenticated caller can take its place.
    """

    scope: str
    value: str

    @property
    def order_id(self) -> OrderId:
        """The id of the order that is asked for under this key, the same in every process and every release.

        So it is one order, whichever road it takes into the books, and however often it is brought there.
        """
        digest = sha256(f"{self.scope}\0{self.value}".encode()).digest()
        return OrderId(UUID(int=int.from_bytes(digest[:16], "big") & ~_KIND | _VERSION_8))


@frozen
class StoredResponse:
    """What was answered under a key for the first time. `fingerprint` stands for what had been asked."""

    key: IdempotencyKey
    fingerprint: str
    answer: Answer
    at: datetime
