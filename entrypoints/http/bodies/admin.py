"""The JSON of the requests of the administration."""

from typing import Annotated

from msgspec import Meta, Struct

from application.admin.seed_orders import MOST as MOST_EXAMPLES


class SeedBody(Struct, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1, le=MOST_EXAMPLES)] = 100

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class ResetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`confirm` is the namespace of the shop."""

    confirm: str

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class ResetDoneBody(Struct, frozen=True):
    """How many orders there were."""

    orders: int
