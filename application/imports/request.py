"""What an import is: a file of products, of changes of stock, or of orders, and how it is done."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from attrs import frozen

from application.access.scopes import Scope
from application.ports.rows import Format

What = Literal["products", "stock", "orders"]
# What becomes of the other rows if some are bad: none of them is done, or all.
OnError = Literal["stop", "skip"]

# What is imported needs the same scope as the same change over HTTP.
NEEDS: Final[Mapping[What, Scope]] = MappingProxyType(
    {"products": Scope.PRODUCTS_WRITE, "stock": Scope.STOCK_ADJUST, "orders": Scope.ORDERS_WRITE}
)


@frozen(kw_only=True)
class ImportRequest:
    """With `dry_run`, every row is tried and nothing is changed."""

    what: What
    format: Format
    dry_run: bool = False
    on_error: OnError = "stop"

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "ImportRequest":
        """Return the request that a job was given."""
        return cls(**{name: arguments[name] for name in ("what", "format", "dry_run", "on_error")})

    def arguments(self) -> dict[str, Any]:
        return {"what": self.what, "format": self.format, "dry_run": self.dry_run, "on_error": self.on_error}

    @property
    def is_tried_first(self) -> bool:
        """Whether every row is tried before anything is changed."""
        return self.dry_run or self.on_error == "stop"
