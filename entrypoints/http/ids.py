"""Ids in a path, a query or a body. In a path each has one spelling, so that each resource has one address."""

import re
from collections.abc import Callable, Mapping
from string import ascii_letters, digits
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

from domain.ids import MAX_ID, CustomerId, EndpointId, JobId, OrderId, ProductId, customer_id
from domain.webhooks.delivery import DeliveryId
from entrypoints.http.refusals import FieldError, InvalidRequest, NotAnId

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What the parts of a path look like, for `/openapi.json`.
PATH_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "order_id": {"type": "string", "format": "uuid", "pattern": f"^{_UUID.pattern}$"},
    "job_id": {"type": "string", "format": "uuid", "pattern": f"^{_UUID.pattern}$"},
    "endpoint_id": {"type": "string", "format": "uuid", "pattern": f"^{_UUID.pattern}$"},
    "delivery_id": {"type": "string", "pattern": rf"^{_UUID.pattern}\.[1-9][0-9]{{0,17}}$"},
    "letter_id": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
    "product_id": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
}
_WHOLE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_ENCODED: Final = re.compile("%([0-9A-Fa-f]{2})?")
# No client has to encode these (RFC 3986, section 2.3).
_UNRESERVED: Final = f"{ascii_letters}{digits}-._~".encode()


def order_id_of(text: str) -> OrderId:
    """Parse the id of an order. Raise `NotAnId`."""
    return OrderId(_uuid_of("an order", text))


def job_id_of(text: str) -> JobId:
    """Parse the id of a job. Raise `NotAnId`."""
    return JobId(_uuid_of("a job", text))


def endpoint_id_of(text: str) -> EndpointId:
    """Parse the id of a webhook endpoint. Raise `NotAnId`."""
    return EndpointId(_uuid_of("a webhook endpoint", text))


def delivery_id_of(text: str) -> DeliveryId:
    """Parse the id of a delivery. Raise `NotAnId`."""
    endpoint_id, _, position = text.partition(".")
    number = whole_number_of(position)
    if number is None or not 1 <= number <= MAX_ID:
        raise NotAnId("The id of a delivery is that of its endpoint, a dot, and the position of its event.")
    return DeliveryId(endpoint_id_of(endpoint_id), number)


def _uuid_of(what: str, text: str) -> UUID:
    if _UUID.fullmatch(text) is None:
        raise NotAnId(
            f"The id of {what} is a UUID in lower case with hyphens, as in 01890a5d-ac96-774b-bcce-b302099a8057."
        )
    return UUID(text)


def product_id_of(text: str) -> ProductId:
    """Parse the id of a product. Raise `NotAnId`."""
    number = whole_number_of(text)
    if number is None or not 1 <= number <= MAX_ID:
        raise NotAnId(f"The id of a product is a whole number from 1 to {MAX_ID}, without leading zeros.")
    return ProductId(number)


def letter_id_of(text: str) -> int:
    """Parse the id of a dead letter. Raise `NotAnId`."""
    number = whole_number_of(text)
    if number is None or not 1 <= number <= MAX_ID:
        raise NotAnId(f"The id of a dead letter is a whole number from 1 to {MAX_ID}, without leading zeros.")
    return number


def customer_id_of(written: int | str, place: Callable[[str, str], FieldError]) -> CustomerId:
    """Parse the `user_id` of a body or of a query, whichever `place` is. Raise `InvalidRequest`."""
    try:
        return customer_id(written)
    except ValueError as error:
        raise InvalidRequest(place("user_id", str(error))) from None


def customer_in_path(text: str) -> CustomerId:
    """Parse the id of a customer, which may be a name, in a path. Raise `NotAnId`."""
    if any(not encoded or bytes.fromhex(encoded) in _UNRESERVED for encoded in _ENCODED.findall(text)):
        raise NotAnId(
            "In a path, letters, digits and -._~ of a customer's name stand as they are, and % before two hex digits."
        )
    try:
        return customer_id(unquote(text, errors="strict"))
    except ValueError as error:
        raise NotAnId(f"The id of a customer can't be read: {error}.") from None


def whole_number_of(text: str) -> int | None:
    """Parse a whole number. Return None for leading zeros, signs, digits other than 0 to 9, and too long numbers."""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else None
