from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from attrs import frozen

from domain.ids import MAX_ID, UserId
from domain.orders.status import OrderStatus
from entrypoints.http.ids import whole_number_of
from entrypoints.http.refusals import FieldError, InvalidRequest

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200

# More parameters than any route has, and few enough to be parsed quickly.
_MAX_PARAMETERS: Final = 20

T = TypeVar("T")


@frozen
class Query:
    """The query parameters of a list. Each method raises `InvalidRequest` with the name of the wrong parameter."""

    _values: dict[str, str]

    @classmethod
    def of(cls, raw: bytes, *known: str) -> "Query":
        """Parse the query. Raise `InvalidRequest` for a parameter that is unknown or given twice."""
        if not raw:
            return cls({})
        try:
            pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
        except ValueError:
            raise InvalidRequest(FieldError("query", f"there are at most {_MAX_PARAMETERS} parameters")) from None
        values: dict[str, str] = {}
        errors: list[FieldError] = []
        for name, value in pairs:
            if name not in known:
                errors.append(FieldError(name[:100], f"there is no such parameter here, only {', '.join(known)}"))
            elif name in values:
                errors.append(FieldError(name, "send the parameter only once"))
            values[name] = value
        if errors:
            raise InvalidRequest(*errors)
        return cls(values)

    def limit(self) -> int:
        text = self._values.get("limit")
        if text is None:
            return DEFAULT_LIMIT
        return self._whole_number("limit", text, MAX_LIMIT)

    def user_id(self) -> UserId | None:
        text = self._values.get("user_id")
        return None if text is None else UserId(self._whole_number("user_id", text, MAX_ID))

    def status(self) -> OrderStatus | None:
        text = self._values.get("status")
        if text is None:
            return None
        if text not in OrderStatus.__members__:
            raise InvalidRequest(FieldError("status", f"it is one of {', '.join(OrderStatus)}"))
        return OrderStatus[text]

    def cursor(self, read: Callable[[str], T]) -> T | None:
        text = self._values.get("cursor")
        return None if text is None else read(text)

    def _whole_number(self, name: str, text: str, largest: int) -> int:
        number = whole_number_of(text)
        if number is None or not 1 <= number <= largest:
            raise InvalidRequest(FieldError(name, f"it is a whole number from 1 to {largest}"))
        return number
