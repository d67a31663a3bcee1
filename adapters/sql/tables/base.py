"""What the tables of every capability are made with."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

metadata: Final = MetaData()

# SQLite counts up by itself only in a column that is INTEGER to the letter.
Counter: Final = BigInteger().with_variant(Integer(), "sqlite")

# Of a queue, whose rows are deleted soon: PostgreSQL cleans up by count, not by a share of a size that is always about
# none, and fast.
ROWS_LEAVE_SOON: Final = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "5000",
    "autovacuum_vacuum_cost_delay": "0",
}


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    """A condition, in the words in which the migrations have it: in the order in which the values were declared."""
    wanted = set(values)
    declared = [f"'{value}'" for value in type(next(iter(wanted))) if value in wanted]
    return f"{column} IN ({', '.join(declared)})" if len(declared) > 1 else f"{column} = {declared[0]}"


def mark_of(queue: str) -> Table:
    """One row: see `repositories/low_water_mark.py`."""
    name = f"{queue}_mark"
    return Table(
        name,
        metadata,
        Column("id", SmallInteger, nullable=False, autoincrement=False),
        Column("position", BigInteger, nullable=False),
        Column("noted", BigInteger, nullable=False),
        Column("writers", Text, nullable=False),
        PrimaryKeyConstraint("id", name=f"{name}_pk"),
        CheckConstraint("id = 1", name=f"{name}_is_one"),
    )
