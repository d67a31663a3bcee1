"""The JSON of exports."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from application.exports.request import ExportRequest, What
from application.ports.feed import FED_TYPES, types_among
from application.ports.rows import Format
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.bodies.order_filter import OrderFilterBody
from entrypoints.http.query import TYPE_PATTERN


class ExportFilterBody(OrderFilterBody, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """All that is given must hold. Of several statuses, products or types one is enough.

    Orders can be filtered by all but `active`, `types` and `order_id`; products by `active`; events by `types`,
    `order_id` and `user_id`.
    """

    active: bool | UnsetType = UNSET
    types: (
        Annotated[tuple[Annotated[str, Meta(pattern=rf"^({TYPE_PATTERN})\Z")], ...], Meta(max_length=len(FED_TYPES))]
        | UnsetType
    ) = UNSET
    order_id: UUID | UnsetType = UNSET

    def as_json(self, at: str) -> dict[str, Any]:
        read = super().as_json(at)
        if self.types is not UNSET:
            read["types"] = sorted(types_among(FED_TYPES, self.types))
        return read | ({} if self.order_id is UNSET else {"order_id": str(self.order_id)})


class ExportBody(LookedThrough, frozen=True, kw_only=True, forbid_unknown_fields=True):
    what: What
    format: Format = "ndjson"
    filter: ExportFilterBody = ExportFilterBody()

    def to_request(self) -> ExportRequest:
        """Raise `InvalidRequest`."""
        return ExportRequest(what=self.what, format=self.format, only=self.filter.as_json("filter"))
