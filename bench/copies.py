"""Copies of orders, which the database itself makes: each with its own ids, customer and times, in every table."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.sql.tables.events import order_events
from adapters.sql.tables.orders import order_items, orders, payments
from adapters.sql.tables.shop import idempotency_keys

# The customer whose orders are copied.
CUSTOMER: Final = 1
MAKER: Final = "bench fill"
# What of a copy is its own, beside the order that it is of.
OWN: Final = ("template", "id", "payment_id", "user_id", "at")

_MAKE_COPIES: Final = text(
    "CREATE TEMPORARY TABLE copies (template uuid, id uuid, payment_id uuid, user_id bigint, at timestamptz)"
)
_CHOOSE: Final = text(
    "INSERT INTO copies SELECT * FROM unnest(CAST(:template AS uuid[]), CAST(:id AS uuid[]),"
    " CAST(:payment_id AS uuid[]), CAST(:user_id AS bigint[]), CAST(:at AS timestamptz[]))"
)
_COUNT_IN: Final = text(
    "INSERT INTO stock_adjustments (product_id, change, reason, made_by, at)"
    " SELECT i.product_id, sum(i.quantity), 'for the orders that were copied', :by, now()"
    " FROM copies c JOIN orders o ON o.id = c.id JOIN order_items i ON i.order_id = o.id"
    " WHERE o.holds_stock GROUP BY i.product_id"
).bindparams(by=MAKER)
_CHARGED: Final = text(
    "SELECT p.id, p.amount, p.currency, p.status, p.provider_reference FROM copies c"
    " JOIN payments p ON p.id = c.payment_id WHERE p.status IN ('CHARGED', 'REFUNDED')"
)
# Here `c` is the copy, `o` the order that it is of, and `t` a row of that order.
_AT: Final = "(c.at + (t.{} - o.created_at))"
# What a text says of that order it says of the copy.
_SAID: Final = """
    regexp_replace(regexp_replace(
        replace(replace({}, o.id::text, c.id::text), coalesce(o.payment_id, o.id)::text, c.payment_id::text),
        '"(at|created_at|updated_at)":"[^"]*"',
        '"\\1":"' || to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'g'),
        '"user_id":[0-9]+', '"user_id":' || c.user_id)
"""
# By table: how its rows are found, and what is the copy's own. Everything else is as it was.
_TABLES: Final[tuple[tuple[Table, str, Mapping[str, str]], ...]] = (
    (
        orders,
        "t.id = o.id",
        {
            "id": "c.id",
            "user_id": "c.user_id",
            "payment_id": "CASE WHEN t.payment_id IS NOT NULL THEN c.payment_id END",
            "created_at": "c.at",
            "updated_at": _AT.format("updated_at"),
            "recorded_at": "c.at",
        },
    ),
    (order_items, "t.order_id = o.id", {"order_id": "c.id"}),
    (
        payments,
        "t.id = o.payment_id",
        {
            "id": "c.payment_id",
            "order_id": "c.id",
            "provider_reference": "replace(t.provider_reference, t.id::text, c.payment_id::text)",
        },
    ),
    (
        order_events,
        "t.order_id = o.id",
        {"order_id": "c.id", "at": _AT.format("at"), "body": _SAID.format("t.body", _AT.format("at"))},
    ),
    (
        idempotency_keys,
        f"t.key = o.id::text AND t.scope = 'customer {CUSTOMER}'",
        {
            "scope": "'customer ' || c.user_id",
            "key": "c.id::text",
            "answer": _SAID.format("t.answer", "c.at"),
            "created_at": "c.at",
        },
    ),
)


async def begin_copies(connection: AsyncConnection) -> None:
    """Make the table in which copies are chosen. It ends with the connection."""
    await connection.execute(_MAKE_COPIES)


async def copy_orders(connection: AsyncConnection, chosen: Mapping[str, Sequence[Any]]) -> Sequence[Row[Any]]:
    """Make copies, of which `OWN` is given by column. Return the payments that the provider has to know of."""
    await connection.execute(text("TRUNCATE copies"))
    await connection.execute(_CHOOSE, chosen)
    await connection.execute(text("ANALYZE copies"))
    for table, found, own in _TABLES:
        columns = [column.name for column in table.c]
        values = [own.get(name, f"t.{name}") for name in columns]
        await connection.execute(
            text(
                f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(values)}"  # noqa: S608 - all our own
                f" FROM copies c JOIN orders o ON o.id = c.template JOIN {table.name} t ON {found}"
            )
        )
    await connection.execute(_COUNT_IN)
    return (await connection.execute(_CHARGED)).all()
