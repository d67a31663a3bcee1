"""The benchmarks' own consistency check, in SQL: fast even with a million orders."""

import asyncio
import sqlite3
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

from sqlalchemy import URL, text

from adapters.sql.core.engine import create_engine

# Not with the application's own queries, which might have the same mistake as the code that they check.
_STOCK: Final = """
    SELECT p.id, p.stock, coalesce(h.units, 0), coalesce(a.units, 0) FROM products p
    LEFT JOIN (
        SELECT i.product_id, sum(i.quantity) AS units FROM order_items i JOIN orders o ON o.id = i.order_id
        WHERE o.holds_stock GROUP BY i.product_id
    ) h ON h.product_id = p.id
    LEFT JOIN (SELECT product_id, sum(change) AS units FROM stock_adjustments GROUP BY product_id) a
    ON a.product_id = p.id
    WHERE p.stock < 0 OR p.stock + coalesce(h.units, 0) <> coalesce(a.units, 0)
"""
_HISTORIES: Final = """
    SELECT count(*) FROM orders o
    LEFT JOIN (SELECT order_id, count(*) AS events, max(sequence) AS last FROM order_events GROUP BY order_id) e
    ON e.order_id = o.id
    WHERE coalesce(e.events, 0) <> o.version OR coalesce(e.last, 0) <> o.version
"""
_WITHOUT_ITEMS: Final = """
    SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = o.id)
"""
_SUMS: Final = """
    SELECT count(*) FROM orders o
    JOIN (SELECT order_id, sum(quantity * unit_price) AS total FROM order_items GROUP BY order_id) i
    ON i.order_id = o.id WHERE i.total <> o.total
"""
_PAID: Final = "SELECT payment_id FROM orders WHERE status IN ('PAID', 'COMPLETED')"
# Their money may or may not have moved yet.
_UNDER_WAY: Final = "SELECT payment_id FROM orders WHERE status = 'PROCESSING'"
_CHARGES: Final = "SELECT key FROM ledger WHERE outcome = 'CHARGED' AND NOT refunded"
_TO_PAID: Final = """
    SELECT r.at, p.at FROM order_events p JOIN order_events r ON r.order_id = p.order_id
    WHERE p.type = 'order.paid' AND r.type = 'order.payment_requested'
"""


class ShopData:
    """One database and its provider's ledger. Its methods block; close it at the end."""

    def __init__(self, database: str | URL, ledger: Path) -> None:
        self._engine = create_engine(database, pool_size=2, statement_timeout=300.0)
        self._ledger = ledger
        self._runner = asyncio.Runner()

    def rows(self, statement: str) -> list[Any]:
        return self._runner.run(self._rows(statement))

    def number(self, statement: str) -> int:
        return int(self.rows(statement)[0][0])

    def orders(self) -> int:
        return self.number("SELECT count(*) FROM orders")

    def paid(self) -> int:
        return self.number("SELECT count(*) FROM orders WHERE status = 'PAID'")

    def processing(self) -> bool:
        return bool(self.rows("SELECT 1 FROM orders WHERE status = 'PROCESSING' LIMIT 1"))

    def unsent(self) -> bool:
        return bool(self.rows("SELECT 1 FROM outbox UNION ALL SELECT 1 FROM waiting_work LIMIT 1"))

    def unfed(self) -> bool:
        """Whether an event waits for its position in the feed."""
        return bool(self.rows("SELECT 1 FROM feed_queue LIMIT 1"))

    def seconds_to_paid(self) -> list[float]:
        """For each paid order, the seconds from the payment request to the payment, by the shop's clock."""
        return [(_moment(paid) - _moment(asked)).total_seconds() for asked, paid in self.rows(_TO_PAID)]

    def paid_between(self, start: datetime, end: datetime) -> int:
        """How many orders became PAID from `start` on and before `end`, by the shop's clock."""
        return sum(
            start <= _moment(at) < end for (at,) in self.rows("SELECT at FROM order_events WHERE type = 'order.paid'")
        )

    def findings(self) -> list[str]:
        """What is wrong between orders, items, histories, stock and money, in words."""
        found = [
            f"product {product}: {stock} left and {held} held make no {counted} counted in"
            for product, stock, held, counted in self.rows(_STOCK)
        ]
        for statement, what in (
            (_HISTORIES, "orders have another version than their history"),
            (_WITHOUT_ITEMS, "orders have no items"),
            (_SUMS, "orders have another total than their items"),
        ):
            if count := self.number(statement):
                found.append(f"{count} {what}")
        return found + self._money()

    def _money(self) -> list[str]:
        charged: Counter[UUID] = Counter()
        if self._ledger.exists():
            with sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True) as ledger:
                charged.update(UUID(key) for (key,) in ledger.execute(_CHARGES))
            ledger.close()
        under_way, paid = self._payments(_UNDER_WAY), self._payments(_PAID)
        unpaid, strangers = (paid - charged).total(), (charged - paid - under_way).total()
        found = [f"{unpaid} paid orders were not charged for"] if unpaid else []
        return [*found, f"{strangers} charges are of no paid order"] if strangers else found

    def _payments(self, statement: str) -> Counter[UUID]:
        return Counter(UUID(str(row[0])) for row in self.rows(statement))

    def disconnect(self) -> None:
        """Leave the database alone until the next question."""
        self._runner.run(self._engine.dispose())

    def close(self) -> None:
        self.disconnect()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _rows(self, statement: str) -> list[Any]:
        async with self._engine.connect() as connection:
            return list(await connection.execute(text(statement)))


def _moment(value: datetime | str) -> datetime:
    """SQLite gives text."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
