"""The filter of orders in the body of a request."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.codecs.ids import in_json
from domain.money import MAX_MINOR
from domain.orders.limits import MAX_LINES
from domain.orders.status import OrderStatus
from entrypoints.http.bodies.common import NumberedId, WrittenCustomerId
from entrypoints.http.ids import customer_id_of
from entrypoints.http.moments import within_years
from entrypoints.http.order_details import Email, ExternalId
from entrypoints.http.refusals import in_body

_Minor = Annotated[int, Meta(ge=0, le=MAX_MINOR)]
_Moment = Annotated[datetime, Meta(tz=True)]


class OrderFilterBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """All that is given must hold. Of several statuses or products one is enough."""

    user_id: WrittenCustomerId | UnsetType = UNSET
    status: Annotated[tuple[OrderStatus, ...], Meta(max_length=len(OrderStatus))] | UnsetType = UNSET
    product_id: Annotated[tuple[NumberedId, ...], Meta(max_length=MAX_LINES)] | UnsetType = UNSET
    external_id: ExternalId | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    placed_after: _Moment | UnsetType = UNSET
    placed_before: _Moment | UnsetType = UNSET
    total_min: _Minor | UnsetType = UNSET
    total_max: _Minor | UnsetType = UNSET

    def as_json(self, at: str) -> dict[str, Any]:
        """Return what is given, as a job keeps it. `at` is where the filter stands. Raise `InvalidRequest`."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not UNSET}
        if "user_id" in given:
            given["user_id"] = in_json(
                customer_id_of(given["user_id"], lambda name, rule: in_body(f"{at}.{name}", rule))
            )
        return {name: _READ.get(name, _as_it_is)(value) for name, value in given.items()}


def _as_it_is(value: Any) -> Any:
    return value


def _moment(moment: datetime) -> str:
    return within_years(moment).isoformat()


_READ: Any = {
    "status": lambda values: sorted(status.value for status in values),
    "product_id": sorted,
    "placed_after": _moment,
    "placed_before": _moment,
}
