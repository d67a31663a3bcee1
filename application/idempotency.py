"""What a client says so that it can ask again without harm, and what is kept for that."""

from datetime import datetime

from attrs import frozen

from domain.errors import DomainError
from domain.order import Order

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


@frozen
class Kept:
    """What was answered under a key for the first time. `fingerprint` stands for what had been asked."""

    key: IdempotencyKey
    fingerprint: str
    answer: Answer
    at: datetime
