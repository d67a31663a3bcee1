from typing import Any

from sqlalchemy import Column, Text, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from adapters.sql.tables import order_items


class _JsonLines(FunctionElement[str]):
    type = Text()
    inherit_cache = True


@compiles(_JsonLines)
def _on_sqlite(element: _JsonLines, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


@compiles(_JsonLines, "postgresql")
def _on_postgresql(element: _JsonLines, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_agg(json_build_array({compiler.process(element.clauses, **options)})) AS text)"


def lines_of(order_id: Column[Any]) -> ColumnElement[Any]:
    """The lines of an order as JSON, in no order: `[[position, product_id, quantity, unit_price], ...]`."""
    item = order_items.c
    lines = _JsonLines(item.position, item.product_id, item.quantity, item.unit_price)
    return select(lines).where(item.order_id == order_id).correlate(order_id.table).scalar_subquery()
