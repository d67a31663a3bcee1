"""The SQLite file of another program is refused, and no byte of it is changed."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters.payments.simulated.file_ledger import FileLedger
from adapters.sqlite_file import tables_in
from application.errors import Unavailable
from entrypoints.database import NotReady, open_engine
from entrypoints.settings import Settings
from tests.service import Service


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """As another shop would have it, in the mode that SQLite begins with."""
    file = tmp_path / "foreign.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_name TEXT)")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.commit()
    return file


@pytest.fixture
def unchanged(foreign: Path, tmp_path: Path) -> Callable[[], bool]:
    before, files = foreign.read_bytes(), sorted(tmp_path.iterdir())
    return lambda: foreign.read_bytes() == before and sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("new", [False, True])
async def test_a_foreign_file_is_no_shop(
    foreign: Path, unchanged: Callable[[], bool], tmp_path: Path, *, new: bool
) -> None:
    settings = Settings(data=tmp_path, sqlite_file=foreign)
    with pytest.raises(NotReady, match="database of another program, which has the tables alembic_version, orders"):
        async with open_engine(settings, new=new):
            pass
    assert unchanged()


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("ask", [FileLedger.entries, FileLedger.owner])
async def test_a_foreign_file_is_no_ledger(
    foreign: Path, unchanged: Callable[[], bool], ask: Callable[[FileLedger], Awaitable[object]], *, new: bool
) -> None:
    ledger = FileLedger(foreign, new=new)
    with pytest.raises(Unavailable, match="database of another program"):
        await ask(ledger)
    await ledger.close()
    assert unchanged()


def test_a_command_says_it_in_one_line(foreign: Path, unchanged: Callable[[], bool], embedded: Service) -> None:
    embedded.settings["DATABASE_URL"] = f"sqlite:///{foreign}"
    status, said = embedded.try_to_run("migrate")
    (embedded.folder / "data").rmdir()
    for log in embedded.folder.glob("*.log"):
        log.unlink()
    assert (status, len(said.splitlines())) == (1, 1), said
    assert "database of another program" in said
    assert unchanged()


def test_our_own_file_is_known_whatever_is_in_its_log(embedded: Service) -> None:
    embedded.run("migrate")
    assert tables_in(embedded.data / "holdfast.db") >= {"orders", "order_events", "outbox"}
    assert "warning" not in embedded.run("products", "list")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 84])
def test_a_file_whose_tables_can_not_be_read_has_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert tables_in(tmp_path / "x") == frozenset()
    assert tables_in(tmp_path / "none") == frozenset()
