"""What the tables say of statuses is read off the domain, in the very words of the migrations."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, literal, select

from adapters.sql.core.bulk import BulkStatement, bulk_insert
from adapters.sql.core.expressions import FromNow, JsonRows, among
from adapters.sql.repositories import dead_letters
from adapters.sql.tables import metadata
from adapters.sql.tables.orders import UNPAID, WAITING, orders, payments

MIGRATIONS = Path(__file__).parents[3] / "adapters" / "sql" / "migrations" / "versions"


def texts_of_the_migrations() -> Iterator[str]:
    for file in MIGRATIONS.glob("r*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


CHECKS = {
    str(check.name): str(check.sqltext)
    for table in metadata.tables.values()
    for check in table.constraints
    if isinstance(check, CheckConstraint)
}
CONDITIONS = {
    str(index.name): str(index.dialect_options["postgresql"]["where"])
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["postgresql"]["where"] is not None
}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_check_stands_in_a_migration_word_for_word(name: str) -> None:
    """A status that is new in the domain needs a migration of its own."""
    assert CHECKS[name] in set(texts_of_the_migrations())


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_the_condition_of_an_index_stands_in_a_migration_word_for_word(name: str) -> None:
    assert CONDITIONS[name] in set(texts_of_the_migrations())


def test_the_conditions_of_statuses_are_these() -> None:
    assert str(UNPAID) == "status = 'PENDING' AND NOT deleted"
    assert str(WAITING) == "(status = 'PROCESSING' OR (refund_requested AND status <> 'REFUNDED'))"
    assert CONDITIONS["payments_one_open_for_an_order"] == "status IN ('REQUESTED', 'CHARGED')"
    assert CHECKS["orders_hold_stock_while_it_is_theirs"] == (
        "NOT holds_stock OR status IN ('PROCESSING', 'PAID', 'COMPLETED')"
    )


def test_a_column_that_nobody_writes_is_named() -> None:
    with pytest.raises(ValueError, match="into provider_reference, status of the table payments"):
        bulk_insert(payments, dict.fromkeys(("id", "order_id", "amount", "currency"), str))


def test_a_column_that_the_table_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="payments has no colour"):
        BulkStatement(payments, {"colour": str}, lambda new, _: new.select())


def test_every_column_of_the_tables_without_bulk_inserts_is_written() -> None:
    written = {"dead_letters": {"consumer", *dead_letters._RECORDED, *dead_letters._DECIDED}}  # noqa: SLF001
    for table, names in written.items():
        assert names == {column.name for column in metadata.tables[table].c if column.identity is None}


def test_a_statement_can_be_shown_to_a_person() -> None:
    statement = select(orders.c.id, JsonRows(orders.c.version), FromNow(literal(5))).where(among(orders.c.id, "ids"))
    assert "SELECT" in str(statement)
