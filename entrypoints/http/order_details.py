"""The details of an order in JSON: of a new order, of a change, and as they are shown."""

from typing import Annotated, Any, Final

from attrs import asdict
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict as members_of

from domain.metadata import MAX_KEY, MAX_KEYS, MAX_VALUE
from domain.orders.details import CHANGEABLE, NO_DETAILS, Address, OrderDetails
from domain.orders.limits import (
    MAX_ADDRESS_LINE,
    MAX_EMAIL,
    MAX_EXTERNAL_ID,
    MAX_NOTE,
    MAX_PAYMENT_METHOD,
)
from entrypoints.http.field_errors import COUNTRY, EMAIL, PRINTABLE, TEXT

_Line = Annotated[str, Meta(min_length=1, max_length=MAX_ADDRESS_LINE, pattern=PRINTABLE)]
_Country = Annotated[str, Meta(pattern=COUNTRY)]
ExternalId = Annotated[str, Meta(min_length=1, max_length=MAX_EXTERNAL_ID, pattern=PRINTABLE)]
Email = Annotated[str, Meta(max_length=MAX_EMAIL, pattern=EMAIL)]
_Note = Annotated[str, Meta(max_length=MAX_NOTE, pattern=TEXT)]
_PaymentMethod = Annotated[str, Meta(min_length=1, max_length=MAX_PAYMENT_METHOD, pattern=PRINTABLE)]
_Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY, pattern=PRINTABLE)]
_Value = Annotated[str, Meta(max_length=MAX_VALUE, pattern=TEXT)]
_Metadata = Annotated[dict[_Key, _Value], Meta(max_length=MAX_KEYS)]


class AddressBody(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    name: _Line | None = None
    company: _Line | None = None
    line1: _Line | None = None
    line2: _Line | None = None
    city: _Line | None = None
    region: _Line | None = None
    postal_code: _Line | None = None
    country: _Country | None = None
    phone: _Line | None = None

    @classmethod
    def of(cls, address: Address | None) -> "AddressBody | None":
        return None if address is None else cls(**asdict(address))


class NewDetailsBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The part of a new order that may be left out."""

    external_id: ExternalId | None = None
    email: Email | None = None
    shipping_address: AddressBody | None = None
    billing_address: AddressBody | None = None
    note: _Note | None = None
    metadata: _Metadata = {}
    payment_method: _PaymentMethod | None = None

    def details(self) -> OrderDetails | None:
        if (
            self.external_id is None
            and self.email is None
            and self.shipping_address is None
            and self.billing_address is None
            and self.note is None
            and not self.metadata
            and self.payment_method is None
        ):
            return None
        return OrderDetails(
            external_id=self.external_id,
            email=self.email,
            shipping_address=_address(self.shipping_address),
            billing_address=_address(self.billing_address),
            note=self.note,
            metadata=self.metadata,
            payment_method=self.payment_method,
        )

    def members_of_details(self) -> int:
        """How many members of the JSON they are, at least, when none is written twice."""
        return 0 if self.details() is None else _members(self, _NEW)


class ChangeDetailsBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is. Null removes it, also one key of the metadata."""

    shipping_address: AddressBody | UnsetType | None = UNSET
    billing_address: AddressBody | UnsetType | None = UNSET
    note: _Note | UnsetType | None = UNSET
    metadata: Annotated[dict[_Key, _Value | None], Meta(max_length=2 * MAX_KEYS)] | UnsetType | None = UNSET

    def members(self) -> int:
        """How many members the JSON has, at least, when none is written twice."""
        return _members(self, CHANGEABLE)

    def changes(self) -> dict[str, Any]:
        sent = {name: getattr(self, name) for name in CHANGEABLE}
        return {
            name: _address(value) if isinstance(value, AddressBody) else value
            for name, value in sent.items()
            if value is not UNSET
        }


def shown(details: OrderDetails | None) -> tuple[Any, ...]:
    """Return the fields of an order that are its details, in the order in which `OrderBody` has them."""
    if details is None:
        return _NONE
    return (
        details.external_id,
        details.email,
        AddressBody.of(details.shipping_address),
        AddressBody.of(details.billing_address),
        details.note,
        details.metadata,
        details.payment_method,
    )


_NEW: Final = tuple(name for name in NewDetailsBody.__struct_fields__)
_NONE: Final = (None, None, None, None, None, NO_DETAILS.metadata, None)


def _address(body: AddressBody | None) -> Address | None:
    return None if body is None else Address(**members_of(body))


def _members(body: Struct, names: tuple[str, ...]) -> int:
    sent = [value for name in names if (value := getattr(body, name)) not in (None, UNSET, {})]
    inside = [members_of(value) if isinstance(value, AddressBody) else value for value in sent]
    return len(sent) + sum(len([each for each in one.values() if each]) for one in inside if isinstance(one, dict))
