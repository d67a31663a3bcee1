"""Changes of a table that has rows, on every database. On SQLite, Alembic's `batch_alter_table` forgets its checks.

PostgreSQL changes a table in place. On SQLite it is made anew, from its own text, with its rows and its indexes. The
migrator has switched off the foreign keys meanwhile, and looks before it commits that none is broken.
"""

import re
from collections.abc import Callable

from sqlalchemy import Connection, text


def change_check(connection: Connection, table: str, name: str, condition: str, *, validate: bool = True) -> None:
    """Give the check constraint another condition, which the rows that are there have to meet.

    To look at them all takes long in a large table, to which nobody can write meanwhile. Without `validate`, PostgreSQL
    looks at new rows alone, until a `ValidateCheck` of a later migration.
    """
    if connection.dialect.name == "postgresql":
        later = "" if validate else " NOT VALID"
        connection.execute(text(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"'))
        connection.execute(text(f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" CHECK ({condition}){later}'))
    else:
        remake(connection, table, lambda made: _with_check(made, name, condition))


def remake(connection: Connection, table: str, change: Callable[[str], str]) -> None:
    """Make a table of SQLite anew: `change` gets its CREATE TABLE and returns another one with the same columns."""
    schema = text("SELECT sql FROM sqlite_schema WHERE tbl_name = :table AND type = :type AND sql IS NOT NULL")
    made = connection.execute(schema, {"table": table, "type": "table"}).scalar_one()
    beside = [
        row.sql for type_ in ("index", "trigger") for row in connection.execute(schema, {"table": table, "type": type_})
    ]
    new = f"new_{table}"
    renamed, count = re.subn(rf'^(CREATE TABLE )"?{table}"?(?=[\s(])', rf'\1"{new}"', change(made), count=1)
    if not count:
        raise ValueError(f"the text of the table {table} can't be read: {made}")
    connection.exec_driver_sql(renamed)
    connection.exec_driver_sql(f'INSERT INTO "{new}" SELECT * FROM "{table}"')  # noqa: S608 - a name of ours
    if "AUTOINCREMENT" in made.upper():
        # A number is never used again, not even if the rows above it have been removed.
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (new,))
        connection.exec_driver_sql(
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?, seq FROM sqlite_sequence WHERE name = ?", (new, table)
        )
    connection.exec_driver_sql(f'DROP TABLE "{table}"')
    connection.exec_driver_sql(f'ALTER TABLE "{new}" RENAME TO "{table}"')
    for each in beside:
        connection.exec_driver_sql(each)


def _with_check(made: str, name: str, condition: str) -> str:
    """Replace the condition of a check in the text of a table."""
    begin = re.search(rf'CONSTRAINT "?{name}"? CHECK \(', made)
    if begin is None:
        raise ValueError(f"there is no check {name} in {made}")
    end, depth, quoted = begin.end(), 1, False
    while depth:
        quoted ^= made[end] == "'"
        depth += 0 if quoted else (made[end] == "(") - (made[end] == ")")
        end += 1
    return f"{made[: begin.end()]}{condition}){made[end:]}"
