"""What `core/compiled.py` uses of SQLAlchemy beyond what it documents, and `dialects/` of the drivers.

Where one of these fails after an upgrade, that file has to be looked at, not this one.
"""

from pathlib import Path
from typing import Any, cast
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    insert,
    literal,
    make_url,
    select,
)

from adapters.sql.core.compiled import compiled, raw_connection
from adapters.sql.core.engine import create_engine

PARAMETERS = {"postgresql": ("$1", "$2"), "sqlite": ("?", "?")}
THINGS = Table("things", MetaData(), Column("id", Uuid), Column("name", String(9)), Column("number", BigInteger))


@pytest.fixture(params=["postgresql+asyncpg", "sqlite+aiosqlite"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    dialect_class = make_url(f"{request.param}://").get_dialect()
    made: Dialect = dialect_class()
    return made


def inside_of(statement: Any, dialect: Dialect) -> Any:
    return statement.compile(dialect=dialect)


def test_a_compiled_statement_says_which_parameter_stands_where(dialect: Dialect) -> None:
    statement = select(THINGS.c.id).where(THINGS.c.name == bindparam("b"), THINGS.c.number == bindparam("a"))
    inside = inside_of(statement, dialect)
    assert inside.positiontup == ["b", "a"]
    assert all(sign in inside.string for sign in PARAMETERS[dialect.name])
    assert inside_of(select(THINGS.c.id), dialect).positiontup in ([], None)


def test_a_compiled_statement_knows_the_values_that_stand_in_it(dialect: Dialect) -> None:
    inside = inside_of(select(literal(7, BigInteger), bindparam("given", type_=String())), dialect)
    values = [inside.binds[name].effective_value for name in inside.positiontup]
    assert values == [7, None]
    assert isinstance(inside.binds["given"].type, String)


def test_a_type_gives_what_turns_values_into_those_of_the_driver_and_back(dialect: Dialect) -> None:
    id_ = UUID(int=5)
    type_ = Uuid().dialect_impl(dialect)
    bind, result = type_.bind_processor(dialect), type_.result_processor(dialect, None)
    sent = id_ if bind is None else bind(id_)
    assert (sent if result is None else result(sent)) == id_


def test_a_statement_names_its_columns_and_so_does_a_row(dialect: Dialect) -> None:
    assert [column.key for column in select(THINGS).exported_columns] == ["id", "name", "number"]
    returning = insert(THINGS).returning(THINGS.c.number)
    assert [column.key for column in returning.exported_columns] == ["number"]
    assert compiled(returning, dialect).row is not None


def test_what_is_not_given_is_the_value_that_stands_in_the_statement(dialect: Dialect) -> None:
    statement = select(THINGS.c.id).where(THINGS.c.name == bindparam("name"), THINGS.c.number == 7)
    assert compiled(statement, dialect).arguments({"name": "a pen"}) == ["a pen", 7]


async def test_the_raw_connection_is_that_of_the_documented_way(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    try:
        async with engine.connect() as connection:
            documented = (await connection.get_raw_connection()).driver_connection
            assert raw_connection(connection) is documented
    finally:
        await engine.dispose()


def test_an_error_of_the_server_says_how_severe_it_is_in_english() -> None:
    error = asyncpg.PostgresError.new({"S": "FEHLER", "V": "ERROR", "C": "22003", "M": "out of range"})
    assert cast("Any", error).severity_en == "ERROR"


def test_an_error_of_the_driver_itself_says_nothing_of_the_kind() -> None:
    assert cast("Any", asyncpg.DataError("invalid input for query argument")).severity_en is None
