"""What the JSON of several resources shares."""

from typing import Annotated

from msgspec import Meta, Struct

from domain.ids import MAX_ID, MAX_NAME, customer_id
from entrypoints.http.field_errors import PRINTABLE, Rule

NumberedId = Annotated[int, Meta(ge=1, le=MAX_ID)]


WrittenCustomerId = (
    NumberedId | Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=PRINTABLE), Rule(customer_id)]
)


class LookedThrough(Struct, frozen=True, forbid_unknown_fields=True):
    """A body with members that may be left out, whose number is not known. So each is looked through for doubles."""

    def members(self) -> int:
        return -1
