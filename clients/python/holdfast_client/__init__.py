"""The client of Holdfast. `Client` waits for each answer, `AsyncClient` is for asyncio; both do the same."""

from holdfast_client.client import AsyncClient, Client
from holdfast_client.errors import (
    ApiError,
    Forbidden,
    HoldfastError,
    Invalid,
    NoAnswer,
    NotFound,
    PositionNotKept,
    PreconditionFailed,
    RefusedByRules,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
)
from holdfast_client.models import Event, EventPage, IssuedKey, Item, Order, OrderLine, Page, Product, Wrong
from holdfast_client.retries import Retries
from holdfast_client.webhooks import InvalidSignature, verify_webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Event",
    "EventPage",
    "Forbidden",
    "HoldfastError",
    "Invalid",
    "InvalidSignature",
    "IssuedKey",
    "Item",
    "NoAnswer",
    "NotFound",
    "Order",
    "OrderLine",
    "Page",
    "PositionNotKept",
    "PreconditionFailed",
    "Product",
    "RefusedByRules",
    "Retries",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "Wrong",
    "verify_webhook",
]
