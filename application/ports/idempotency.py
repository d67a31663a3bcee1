"""Idempotency keys, with which a client can repeat a request safely, and the responses stored under them."""

from hashlib import sha256

from attrs import evolve, frozen

from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import CustomerId, OrderId, id_made_of, is_made
from domain.orders.order import Order

# The answer to a request: the order or the product as it was at that moment, or why it was refused.
Answer = Order | Product | DomainError


@frozen
class IdempotencyKey:
    """A client's own name for one request.

    `scope` says whose key it is, so that two clients may choose the same one.
    """

    scope: str
    value: str

    def of_customer(self, user_id: CustomerId) -> "IdempotencyKey":
        """Return this customer's own key of the same name. A scope has 64 characters at most."""
        return evolve(self, scope=f"{self.scope} by {sha256(scope_of(user_id).encode()).hexdigest()[:18]}")

    @property
    def order_id(self) -> OrderId:
        """The id of the order that is requested under this key, the same in every process and every release.

        So it is one order, whichever way it reaches the database, and however often.
        """
        return OrderId(id_made_of(self.scope, self.value))


def scope_of(user_id: CustomerId) -> str:
    """Return the scope of a customer's keys. A name may be no ASCII, or too long, so its hash stands for it."""
    return f"customer {user_id if isinstance(user_id, int) else sha256(user_id.encode()).hexdigest()[:40]}"


def is_of_a_key(order_id: OrderId) -> bool:
    """Whether the id was made from an idempotency key."""
    return is_made(order_id)


@frozen
class StoredResponse:
    """The first answer given under a key. `fingerprint` is a hash of the request."""

    key: IdempotencyKey
    fingerprint: str
    answer: Answer
