"""The file of the simulated provider's ledger: charges that an earlier release made are known to every later one.

A file in `golden/ledger` is never changed. Other tables than today's get a file with the next number.
"""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from adapters.payments.simulated.file_ledger import FileLedger, open_file_ledger
from adapters.payments.simulated.ledger import LedgerEntry, Outcome
from domain.ids import PaymentId
from domain.money import Money
from tests.contract.test_golden import golden, names_in, newest

SHOP: Final = UUID("019b0c2e-7c00-7aaa-8bbb-0123456789ab")
CHARGED: Final = LedgerEntry(
    key=PaymentId(UUID("019b0c2e-7b00-7fed-9cba-ba9876543210")),
    amount=Money(29_97, "EUR"),
    outcome=Outcome.CHARGED,
    reference="ch_1",
    at=datetime(2026, 11, 29, 4, 30, 15, 123456, tzinfo=UTC),
)
REFUNDED: Final = LedgerEntry(
    key=PaymentId(UUID("019b0c2e-7b00-7fed-9cba-ba9876543211")),
    amount=Money(2**53 - 1, "JPY"),
    outcome=Outcome.CHARGED,
    reference="ch_2",
    refunded=True,
    at=datetime(2026, 11, 29, 5, tzinfo=UTC),
)
DECLINED: Final = LedgerEntry(
    key=PaymentId(UUID("019b0c2e-7b00-7fed-9cba-ba9876543212")),
    amount=Money(0, "EUR"),
    outcome=Outcome.DECLINED,
    reference=None,
    at=datetime(2026, 11, 29, 6, tzinfo=UTC),
)
# Ledgers of number 1 belong to nobody: the shop that opens one first claims it.
OWNERS: Final = {"ledger.1.sql": None, "ledger.2.sql": SHOP}


async def fill(ledger: FileLedger) -> None:
    for entry in (CHARGED, REFUNDED, DECLINED):
        await ledger.enter(entry)
    await ledger.refund(REFUNDED.key, REFUNDED.amount)
    await ledger.claim(SHOP)


def restore(path: Path, dump: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(dump)
    connection.close()


def content_of(path: Path) -> dict[str, tuple[str, list[tuple[Any, ...]]]]:
    """Each table with its definition, whatever its white space, and its rows."""
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
    found = {
        name: (" ".join(sql.split()), connection.execute(f"SELECT * FROM {name}").fetchall())  # noqa: S608 - its own
        for name, sql in tables
    }
    connection.close()
    return found


def test_every_file_is_tried() -> None:
    assert names_in("ledger") == OWNERS.keys()


@pytest.mark.parametrize("name", OWNERS)
async def test_the_ledger_of_an_earlier_release_is_read_and_written_on(name: str, tmp_path: Path) -> None:
    restore(tmp_path / "ledger", golden("ledger", name).decode())
    async with open_file_ledger(tmp_path / "ledger") as ledger:
        assert await ledger.entries() == [CHARGED, REFUNDED, DECLINED]
        assert await ledger.owner() == OWNERS[name]
        assert await ledger.claim(SHOP) == SHOP
        # The charge is not made again, and can be refunded.
        assert await ledger.enter(CHARGED) == CHARGED
        refunded = await ledger.refund(CHARGED.key, CHARGED.amount)
        assert refunded is not None
        assert refunded.refunded


async def test_a_ledger_of_today_has_the_known_tables_and_rows(tmp_path: Path) -> None:
    async with open_file_ledger(tmp_path / "ledger") as ledger:
        await fill(ledger)
    [name] = newest(OWNERS)
    restore(tmp_path / "known", golden("ledger", name).decode())
    assert content_of(tmp_path / "ledger") == content_of(tmp_path / "known")
