"""The first half of a migration takes nothing away from the release before, and asks nothing new of it."""

import asyncio
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql import migrate as migrating
from adapters.sql.migrate import migrate
from adapters.sql.migrations.files import module_of
from adapters.sql.revisions import newest, revisions
from tests.engines import engine_on
from tests.later_release import later_release

# The first revision that other releases work beside.
WINDOW = "0029"
LATER = [each for each in revisions() if each > WINDOW]

HARMLESS = """
def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text, nullable=False))
    op.add_column("products", sa.Column("origin", sa.String(16)))
    op.add_column("products", sa.Column("weight", sa.Integer, nullable=False, server_default="0"))
    op.create_index("products_by_origin", "products", ["origin", "id"])
    change_check(op.get_bind(), "products", "products_stock_is_not_negative", "stock >= -1")

met_before = ("products_stock_is_not_negative",)
"""
HARMFUL = {
    "a table less": 'op.execute("DROP TABLE earlier_prices")',
    "a column less": 'op.execute("ALTER TABLE products DROP COLUMN metadata")',
    "a column renamed": 'op.execute("ALTER TABLE products RENAME COLUMN sku TO code")',
    "an index less": 'op.drop_index("products_by_name")',
    "a column that must be given": 'op.execute("ALTER TABLE messages RENAME TO m2");'
    ' op.execute("CREATE TABLE messages (id CHAR(32) PRIMARY KEY, order_id CHAR(32), content TEXT NOT NULL,'
    ' created_at DATETIME NOT NULL, lang TEXT NOT NULL)")',
    "a key more": 'op.create_index("products_name", "products", ["name"], unique=True)',
    "a narrower check": 'change_check(op.get_bind(), "products", "products_stock_is_not_negative", "stock > 0")',
}


def shape(connection: Connection) -> dict[str, dict[str, Any]]:
    """By table and name, what a reader or a writer relies on."""
    inspector = inspect(connection)
    return {
        table: {
            **{
                f"column {each['name']}": (str(each["type"]), each["nullable"]) for each in inspector.get_columns(table)
            },
            **{f"index {each['name']}": each["column_names"] for each in inspector.get_indexes(table)},
            **{f"check {each['name']}": each["sqltext"] for each in inspector.get_check_constraints(table)},
            **{f"key {each['name']}": each["constrained_columns"] for each in inspector.get_foreign_keys(table)},
        }
        for table in inspector.get_table_names()
    }


def demanding(connection: Connection) -> dict[str, set[str]]:
    """By table, what a writer can break: columns without a default, and keys."""
    inspector = inspect(connection)
    return {
        table: {
            *(
                f"column {c['name']}"
                for c in inspector.get_columns(table)
                if not c["nullable"] and c["default"] is None
            ),
            *(f"index {each['name']}" for each in inspector.get_indexes(table) if each["unique"]),
            *(f"check {each['name']}" for each in inspector.get_check_constraints(table)),
            *(f"key {each['name']}" for each in inspector.get_foreign_keys(table)),
        }
        for table in inspector.get_table_names()
    }


async def harm(engine: AsyncEngine, revision: str) -> list[str]:
    """What the release before would miss or break. `met_before` of a migration names what its author has looked at."""
    async with engine.connect() as connection:
        before, asked = await connection.run_sync(shape), await connection.run_sync(demanding)
    async with migrating._migrating(engine, lambda *_: None) as migrator:  # noqa: SLF001 - one half of one revision
        await migrating._expand(migrator, revision)  # noqa: SLF001 - as above
    async with engine.connect() as connection:
        after, asks = await connection.run_sync(shape), await connection.run_sync(demanding)
    met: Collection[str] = getattr(module_of(revision), "met_before", ())
    found = []
    for table, parts in before.items():
        changed = {name for name, what in parts.items() if after.get(table, {}).get(name) != what}
        more = asks.get(table, set()) - asked[table]
        found += [f"{table}: {name}" for name in sorted(changed | more) if name.partition(" ")[2] not in met]
    return found


async def test_the_migrations_since_releases_work_side_by_side_only_add(tmp_path: Path) -> None:
    async with engine_on(f"sqlite:///{tmp_path / 'shop.db'}") as engine:
        await migrate(engine, to=WINDOW)
        assert {revision: await harm(engine, revision) for revision in LATER} == {revision: [] for revision in LATER}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made") / "shop.db"


async def found_in(made: Path, folder: Path, body: str) -> list[str]:
    """What the test above would say of such a migration."""
    async with engine_on(f"sqlite:///{made}") as engine:
        await migrate(engine)
    await asyncio.to_thread(shutil.copy, made, folder / "shop.db")
    async with engine_on(f"sqlite:///{folder / 'shop.db'}") as engine:
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() == newest()
        with later_release(folder, body) as [revision]:
            return await harm(engine, revision)


async def test_what_is_added_does_no_harm(made: Path, tmp_path: Path) -> None:
    assert await found_in(made, tmp_path, HARMLESS) == []


@pytest.mark.parametrize("change", HARMFUL.values(), ids=HARMFUL)
async def test_what_does_harm_is_found(made: Path, tmp_path: Path, change: str) -> None:
    assert await found_in(made, tmp_path, f"def upgrade():\n    {change}\n") != []
