"""A SQLite file that is deleted or replaced under a running service: nothing is promised that would not be kept."""

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.payments.simulated.file_ledger import FileLedger, open_file_ledger
from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.sql.schema import schema_problem
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Unavailable
from domain.ids import PaymentId
from tests.contract.conftest import keep
from tests.unit.builders import PAYMENT, a_product, euros

Removal = Callable[[Path], object]


def replace(file: Path) -> None:
    """As a restore does that forgets that the service runs."""
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


def move(file: Path, to: Path) -> None:
    file.rename(to)


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


removals = pytest.mark.parametrize("remove", [Path.unlink, replace, remove_folder])


@removals
@pytest.mark.parametrize("connections", ["pooled", "new"])
async def test_a_database_that_was_removed_takes_no_order_and_is_not_ready(
    sqlite_engine: AsyncEngine, remove: Removal, connections: str
) -> None:
    unit_of_work = SqlUnitOfWork(sqlite_engine)
    await keep(unit_of_work, products=[a_product(1)])
    if connections == "new":
        await sqlite_engine.dispose()
    file = Path(str(sqlite_engine.url.database))
    remove(file)
    left = sorted(file.parent.glob("*.db"))
    with pytest.raises(Unavailable, match="was deleted, or replaced by another file"):
        await keep(unit_of_work, products=[a_product(2)])
    with pytest.raises(Unavailable, match="was deleted"):
        async with unit_of_work.reading() as tx:
            await tx.products.last_id()
    with pytest.raises(Unavailable, match="was deleted"):
        await schema_problem(sqlite_engine)
    # Nobody makes an empty database in its place, which would look like a shop without orders.
    assert sorted(file.parent.glob("*.db")) == left


async def test_a_database_that_is_put_back_works_again(sqlite_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sqlite_engine)
    await keep(unit_of_work, products=[a_product(1)])
    file = Path(str(sqlite_engine.url.database))
    move(file, file.with_suffix(".moved"))
    with pytest.raises(Unavailable):
        await keep(unit_of_work, products=[a_product(2)])
    move(file.with_suffix(".moved"), file)
    await keep(unit_of_work, products=[a_product(2)])


@pytest.mark.parametrize("change", [Path.unlink, replace])
async def test_a_database_whose_log_was_removed_takes_no_order_and_keeps_what_it_took(
    sqlite_engine: AsyncEngine, change: Removal, open_engines: Callable[[str], AsyncEngine]
) -> None:
    unit_of_work = SqlUnitOfWork(sqlite_engine)
    await keep(unit_of_work, products=[a_product(1)])
    await keep(unit_of_work, products=[a_product(2)])
    change(Path(f"{sqlite_engine.url.database}-wal"))
    for _ in range(3):
        with pytest.raises(Unavailable, match="has lost its -wal file"):
            await keep(unit_of_work, products=[a_product(3)])
    await sqlite_engine.dispose()

    started_again = SqlUnitOfWork(open_engines(f"sqlite:///{sqlite_engine.url.database}"))
    async with started_again.reading() as tx:
        assert await tx.products.last_id() == 2


@pytest.mark.parametrize("change", [Path.unlink, replace])
async def test_a_ledger_whose_log_was_removed_charges_nobody_and_keeps_what_it_took(
    tmp_path: Path, change: Removal
) -> None:
    file = tmp_path / "gateway.db"
    ledger = FileLedger(file)
    gateway = SimulatedGateway(ledger)
    try:
        await gateway.charge(PAYMENT, euros(1))
        change(Path(f"{file}-wal"))
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"gateway\.db has lost its -wal file"):
                await gateway.charge(PaymentId(uuid4()), euros(1))
    finally:
        await ledger.close()

    async with open_file_ledger(file) as started_again:
        assert [entry.key for entry in await started_again.entries()] == [PAYMENT]


@pytest.mark.parametrize("reader_closes_first", [True, False])
async def test_the_log_of_a_ledger_is_not_missed_when_another_process_has_closed_it(
    tmp_path: Path, *, reader_closes_first: bool
) -> None:
    file = tmp_path / "gateway.db"
    ledgers = [FileLedger(file), FileLedger(file, new=False)]
    try:
        for ledger in ledgers:
            await SimulatedGateway(ledger).charge(PAYMENT, euros(1))
        await ledgers.pop(1 if reader_closes_first else 0).close()
        await SimulatedGateway(ledgers[0]).charge(PaymentId(uuid4()), euros(1))
        assert len(await ledgers[0].entries()) == 2
    finally:
        for ledger in ledgers:
            await ledger.close()


@removals
async def test_a_ledger_that_was_removed_charges_nobody(tmp_path: Path, remove: Removal) -> None:
    file = tmp_path / "ledger" / "gateway.db"
    ledger = FileLedger(file)
    gateway = SimulatedGateway(ledger)
    try:
        await gateway.charge(PAYMENT, euros(1))
        remove(file)
        for _ in range(2):
            with pytest.raises(Unavailable, match="deleted or replaced"):
                await gateway.charge(PAYMENT, euros(1))
    finally:
        await ledger.close()
    assert file.exists() == (remove is replace)
