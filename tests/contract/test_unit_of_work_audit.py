"""The audit: one suite for memory, SQLite and PostgreSQL."""

from types import MappingProxyType
from typing import Any

import pytest

from application.errors import Aborted
from application.ports.audit import AuditEntry, Caller
from application.ports.persistence import UnitOfWork
from tests.unit.builders import NOW, an_api_key


def an_entry(subject: str = "product 1", **more: Any) -> AuditEntry:
    given: dict[str, Any] = {"at": NOW, "by": Caller("ana", "r1"), "action": "stock.adjusted", "subject": subject}
    return AuditEntry(**given | more)


async def add(unit_of_work: UnitOfWork, *entries: AuditEntry) -> None:
    async with unit_of_work() as tx:
        await tx.audit.add_many(entries)


async def page(unit_of_work: UnitOfWork, **asked: Any) -> list[AuditEntry]:
    async with unit_of_work.reading() as tx:
        usual = {"subject": None, "request_id": None, "action": None, "before": None, "limit": 100}
        return await tx.audit.page(**usual | asked)


async def test_an_entry_is_read_as_it_was_written(unit_of_work: UnitOfWork) -> None:
    full = an_entry(
        before={"note": None, "metadata": MappingProxyType({"ä": "\u2028"})},
        after={"note": "x" * 5000, "scopes": ["a", "b"], "deleted": True, "stock": 2**53},
        reason="a flood",
    )
    await add(unit_of_work, full)
    await add(unit_of_work, an_entry(by=Caller("holdfast seed")))
    bare, read = await page(unit_of_work)
    assert (read, bare) == (full, an_entry(by=Caller("holdfast seed")))
    assert bare.id > read.id > 0


async def test_the_newest_come_first_page_by_page(unit_of_work: UnitOfWork) -> None:
    subjects = ["product 1", "order 2", "product 1", "order 2", "product 1"]
    for number, subject in enumerate(subjects):
        await add(unit_of_work, an_entry(subject, reason=str(number)))
    first = await page(unit_of_work, limit=2)
    rest = await page(unit_of_work, before=first[-1].id)
    assert [entry.reason for entry in [*first, *rest]] == ["4", "3", "2", "1", "0"]
    of_product = await page(unit_of_work, subject="product 1", limit=2)
    older = await page(unit_of_work, subject="product 1", before=of_product[-1].id)
    assert [entry.reason for entry in [*of_product, *older]] == ["4", "2", "0"]


async def test_the_entries_of_one_request_are_found(unit_of_work: UnitOfWork) -> None:
    for number, request_id in enumerate(["r1", "r2", "r1", "", "r1"]):
        await add(unit_of_work, an_entry(f"product {number % 2}", by=Caller("ana", request_id), reason=str(number)))
    first = await page(unit_of_work, request_id="r1", limit=2)
    rest = await page(unit_of_work, request_id="r1", before=first[-1].id)
    assert [entry.reason for entry in [*first, *rest]] == ["4", "2", "0"]
    assert [entry.reason for entry in await page(unit_of_work, request_id="r2", subject="product 1")] == ["1"]
    assert await page(unit_of_work, request_id="r2", subject="product 0") == []


async def test_the_entries_of_one_action_are_found(unit_of_work: UnitOfWork) -> None:
    for number, action in enumerate(["a.b", "c.d", "a.b", "a.bc", "a.b"]):
        by = Caller("ana", f"r{number % 2}")
        await add(unit_of_work, an_entry(f"product {number % 2}", by=by, action=action, reason=str(number)))
    first = await page(unit_of_work, action="a.b", limit=2)
    rest = await page(unit_of_work, action="a.b", before=first[-1].id)
    assert [entry.reason for entry in [*first, *rest]] == ["4", "2", "0"]
    assert [entry.reason for entry in await page(unit_of_work, action="c.d", subject="product 1")] == ["1"]
    assert await page(unit_of_work, action="c.d", request_id="r0") == []


async def test_what_is_rolled_back_is_not_in_the_audit(unit_of_work: UnitOfWork) -> None:
    async def fail() -> None:
        async with unit_of_work() as tx:
            await tx.audit.add_many([an_entry()])
            await tx.api_keys.add_many([an_api_key(), an_api_key()])

    with pytest.raises(Aborted):
        await fail()
    assert await page(unit_of_work) == []
