"""What else belongs to an order: what the shop and the customer tell each other about it. No rule of money reads it."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, field, frozen


@frozen(kw_only=True)
class Address:
    """Where something is sent, as it is written on the parcel. `country` is an ISO 3166-1 code of two letters."""

    name: str | None = None
    company: str | None = None
    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None
    phone: str | None = None


@frozen(kw_only=True)
class OrderDetails:
    """All are optional. `external_id` is the caller's own name for the order, unique among those of its customer.

    `payment_method` is the payment provider's name for what the customer pays with.
    """

    external_id: str | None = None
    email: str | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    note: str | None = None
    # A mapping has no hash. Details that are equal have the same hash without it.
    metadata: Mapping[str, str] = field(factory=dict, hash=False)
    payment_method: str | None = None

    @property
    def addresses(self) -> tuple[Address | None, Address | None]:
        return self.shipping_address, self.billing_address


NO_DETAILS: Final = OrderDetails()
# What may change after an order was placed. `merged` takes these names.
CHANGEABLE: Final = ("shipping_address", "billing_address", "note", "metadata")


def details_or_none(details: OrderDetails) -> OrderDetails | None:
    """Return None for an order that has no details, as most have none."""
    return None if details == NO_DETAILS else details


def merged(details: OrderDetails | None, changes: Mapping[str, Any]) -> OrderDetails | None:
    """Return the details with these changes. None removes; `metadata` is merged key by key, an address is replaced."""
    old = details or NO_DETAILS
    metadata: Mapping[str, str] = {}
    if "metadata" not in changes:
        metadata = old.metadata
    elif changes["metadata"] is not None:
        both = {**old.metadata, **changes["metadata"]}
        metadata = {key: value for key, value in both.items() if value is not None}
    return details_or_none(evolve(old, **{**changes, "metadata": metadata}))
