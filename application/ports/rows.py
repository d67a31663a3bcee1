"""Rows of files that others read and write."""

from collections.abc import Sequence
from typing import Protocol

from application.ports.feed import FeedItem, Position
from domain.catalogue.product import Product
from domain.orders.order import Order

Row = Order | Product | FeedItem


class RowWriter(Protocol):
    """Writes rows in one format."""

    def head(self, what: str, position: Position) -> bytes:
        """What a file of these begins with: the position in the feed that it is as of, and for a table its columns."""

    def rows(self, what: str, rows: Sequence[Row]) -> bytes: ...
