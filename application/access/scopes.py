"""What a caller may be allowed to do. The list is closed: a new operation takes one of these, or adds one here."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Scope(StrEnum):
    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    PAYMENTS_WRITE = "payments:write"
    REFUNDS_WRITE = "refunds:write"
    PRODUCTS_WRITE = "products:write"
    STOCK_ADJUST = "stock:adjust"
    EVENTS_READ = "events:read"
    WEBHOOKS_WRITE = "webhooks:write"
    DEAD_LETTERS_REPLAY = "dead_letters:replay"
    DEAD_LETTERS_DISCARD = "dead_letters:discard"
    KEYS_WRITE = "keys:write"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"
    # Check the consistency of the shop, and read what was found. A repair needs the scopes of what it does, too.
    RECONCILE = "reconcile"
    # Fill the shop with examples, and empty it.
    ADMIN = "admin"


class Role(StrEnum):
    """A named set of scopes."""

    ADMIN = "admin"
    SHOP = "shop"
    CUSTOMER = "customer"
    READ = "read"
    OPERATOR = "operator"


ALL_SCOPES: Final = frozenset(Scope)

# All that a customer may ever do, and only with its own orders. Every other operation concerns the orders of others.
CUSTOMER_SCOPES: Final = frozenset({Scope.ORDERS_READ, Scope.ORDERS_WRITE, Scope.PAYMENTS_WRITE, Scope.EVENTS_READ})

ROLES: Final[Mapping[Role, frozenset[Scope]]] = MappingProxyType(
    {
        Role.ADMIN: ALL_SCOPES,
        # The shop's own software. It makes no keys, reads neither audit nor metrics, and destroys nothing.
        Role.SHOP: ALL_SCOPES
        - {Scope.KEYS_WRITE, Scope.AUDIT_READ, Scope.METRICS_READ, Scope.ADMIN, Scope.DEAD_LETTERS_DISCARD},
        Role.CUSTOMER: CUSTOMER_SCOPES,
        Role.READ: frozenset({Scope.ORDERS_READ, Scope.EVENTS_READ}),
        # The person on duty, who looks, and replays what has failed. Nothing is lost by that.
        Role.OPERATOR: frozenset(
            {
                Scope.ORDERS_READ,
                Scope.EVENTS_READ,
                Scope.AUDIT_READ,
                Scope.METRICS_READ,
                Scope.DEAD_LETTERS_REPLAY,
                Scope.RECONCILE,
            }
        ),
    }
)
