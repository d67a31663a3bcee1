"""What is different from one database to the next stands in `adapters/sql/dialects/`, and nowhere else."""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Index

from adapters.sql.core.errors import CONFLICTS
from adapters.sql.tables import metadata

ROOT = Path(__file__).parents[3]
SQL = ROOT / "adapters" / "sql"
NAMES = re.compile(r"\w*(?:postgres|asyncpg|sqlite)\w*", re.IGNORECASE)

ELSEWHERE = {
    # What was done to the tables of each database stays as it was done.
    "migrations": NAMES,
    # SQLAlchemy's own options of a table, each for the database in its name, which the others pass over.
    "tables": re.compile(r"postgresql_(where|with)|sqlite_(where|with_rowid|autoincrement)|sqlite"),
    # The address of a file, which is what a shop without a server is given.
    "core/engine.py": re.compile(r"sqlite_url"),
}


def named_in_code(file: Path) -> Iterator[str]:
    """Comments and docstrings may say for which database something is as it is."""
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        is_docstring = token.type == tokenize.STRING and before in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
        if token.type != tokenize.COMMENT and not is_docstring:
            yield from NAMES.findall(token.string)
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            before = token.type


@pytest.mark.parametrize(
    "file", [str(file.relative_to(SQL)) for file in sorted(SQL.rglob("*.py")) if "dialects" not in file.parts]
)
def test_no_other_file_names_a_database(file: str) -> None:
    allowed = ELSEWHERE.get(file) or ELSEWHERE.get(file.partition("/")[0])
    found = set(named_in_code(SQL / file))
    assert {name for name in found if allowed is None or not allowed.fullmatch(name)} == set()


@pytest.mark.parametrize(
    ("url", "foreign"),
    [
        ("sqlite:///shop.db", {"asyncpg", "adapters.sql.dialects.postgresql.dialect"}),
        ("postgresql://ana@127.0.0.1/shop", {"aiosqlite", "sqlite3", "adapters.sql.dialects.sqlite.dialect"}),
    ],
)
def test_only_the_driver_that_is_used_is_imported(url: str, foreign: set[str]) -> None:
    """SQLAlchemy imports its own half of each database, to check the options of the tables."""
    code = (
        "import sys; import adapters.sql.unit_of_work; from adapters.sql.core.engine import create_engine;"
        f"create_engine({url!r}); print(*sys.modules)"
    )
    imported = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert foreign & set(imported.stdout.split()) == set()


def test_the_keys_whose_loss_is_a_conflict_are_those_of_the_tables() -> None:
    for key in CONFLICTS:
        table = metadata.tables[key.table]
        if key.is_primary:
            assert (key.name, key.columns) == (table.primary_key.name, tuple(table.primary_key.columns.keys()))
        else:
            [index] = [each for each in table.indexes if each.name == key.name]
            assert isinstance(index, Index)
            assert index.unique
            assert key.columns == tuple(index.columns.keys())
