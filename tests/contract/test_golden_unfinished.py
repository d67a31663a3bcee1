"""A job that an earlier release has left in the middle is finished by this one.

The files in `golden/unfinished/` have the arguments of such a job, and the files that it has written so far.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest

from application.access.principal import SYSTEM
from application.exports.request import ExportRequest
from application.imports.request import ImportRequest
from application.jobs.add_job import StartedJob
from application.jobs.kinds import BULK, EXPORT, IMPORT, RECONCILE, SHORT_KINDS, Progress
from application.operations.bulk import BulkRequest, ChosenOrders
from application.ports.files import StoredFile
from application.reconciliation.run import GONE
from application.reconciliation.runs import Finding, lines_of
from domain.ids import JobId
from domain.jobs.job import Job, new_job
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.contract.golden_values import PAYMENT_ID
from tests.contract.test_golden import golden, names_in
from tests.unit.shop import Shop

NAMES: Final = ("import.1.json", "export.1.json", "bulk.1.json", "reconcile.1.json")
CSV: Final = b"product_id,delta,reason\n1,5,delivery\n1,-2,broken\n1,1,count\n"


def stored(name: str) -> Any:
    return json.loads(golden("unfinished", name))


async def a_shop() -> tuple[Shop, list[Order]]:
    """Its ids are the same in each run, and so those of the files."""
    shop = Shop()
    pen = await shop.sells(stock=20)
    return shop, [await shop.order((pen, 1)) for _ in range(3)]


async def finished(shop: Shop, name: str) -> tuple[Mapping[str, Any] | None, dict[str, list[Any]]]:
    """Finish the job, and return its result and what the lines of its files have."""
    left = stored(name)
    now = shop.clock()
    job = new_job(id=JobId(PAYMENT_ID), kind=left["kind"], arguments=left["arguments"], now=now)
    job.begin(at=now)
    async with shop.unit_of_work() as tx:
        await tx.jobs.add_many([job])
        for file, kept in left["files"].items():
            await tx.files.append(StoredFile(job_id=job.id, name=file), kept["content"].encode(), kept["state"])
    result = await shop.use_cases.run_jobs.handlers[job.kind](job, Progress())
    return result, {file: lines_in(shop, job, file) for _, file in shop.store.files if not file.startswith("upload")}


def lines_in(shop: Shop, job: Job, file: str) -> list[Any]:
    return [json.loads(line) for line in bytes(shop.store.files[job.id, file].content).splitlines()]


def test_each_kind_of_job_that_takes_long_is_left_in_the_middle_here() -> None:
    """The others are done in one transaction, or begin anew."""
    assert names_in("unfinished") == dict.fromkeys(sorted(NAMES)).keys()
    assert {stored(name)["kind"] for name in NAMES}.isdisjoint(SHORT_KINDS)
    assert {stored(name)["kind"] for name in NAMES} == {IMPORT, EXPORT, BULK, RECONCILE}


async def test_an_import_goes_on_behind_the_rows_that_are_done() -> None:
    shop, _ = await a_shop()
    result, files = await finished(shop, "import.1.json")
    assert result == {"applied": True, "rows": 3, "outcomes": {"changed": 3}}
    assert [line["row"] for line in files["results"]] == [1, 2, 3]
    assert [product.stock for product in shop.store.products.values()] == [20 - 2 + 1]


async def test_an_export_goes_on_behind_what_is_written() -> None:
    shop, orders = await a_shop()
    result, files = await finished(shop, "export.1.json")
    assert result is not None
    assert result["rows"] == 3
    assert [line["order_id"] for line in files["export"][1:]] == [str(order.id) for order in reversed(orders)]


async def test_a_bulk_operation_goes_on_behind_what_was_told() -> None:
    shop, orders = await a_shop()
    result, files = await finished(shop, "bulk.1.json")
    assert result == {"outcomes": {"done": 2}, "stopped": ""}
    assert [line["outcome"] for line in files["items"]] == ["done", "done"]
    statuses = [(await shop.now(order)).status for order in orders]
    assert statuses == [OrderStatus.PENDING, OrderStatus.CANCELLED, OrderStatus.PENDING]


async def test_a_repair_tells_of_what_was_found_before() -> None:
    shop, orders = await a_shop()
    _, files = await finished(shop, "reconcile.1.json")
    assert [(line["order_id"], line["outcome"]) for line in files["discrepancies"]] == [(str(orders[0].id), GONE)]


def test_what_a_repair_has_found_before_it_begins_has_a_known_shape() -> None:
    finding = Finding(
        about="stuck", order_id="01955000-0000-7000-8000-000000000001", what="it is unpaid", remedy="expire"
    )
    assert lines_of([finding]).decode() == stored("reconcile.1.json")["files"]["found"]["content"]


async def parts() -> AsyncIterator[bytes]:
    yield CSV


async def begin_today(shop: Shop, orders: list[Order], name: str) -> StartedJob:
    use, ids = shop.use_cases, tuple(order.id for order in orders[:2])
    match name:
        case "import.1.json":
            return await use.start_import(SYSTEM, ImportRequest(what="stock", format="csv"), parts())
        case "export.1.json":
            return await use.start_export(SYSTEM, ExportRequest(what="orders", format="ndjson"))
        case "bulk.1.json":
            only = ChosenOrders(ids=ids)
            return await use.start_bulk(SYSTEM, BulkRequest(act="cancel", only=only, reason="a wrong price"))
        case _:
            return await use.start_reconciliation(SYSTEM, repair_all=True)


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_stored_of_a_job_in_the_middle_has_a_known_shape(name: str) -> None:
    """When this fails, read what is in the file as well, and add another file."""
    shop, orders = await a_shop()
    id_ = (await begin_today(shop, orders, name)).id
    async with shop.unit_of_work.reading() as tx:
        job = (await tx.jobs.get_many({id_}))[id_]
    left = stored(name)
    assert (job.kind, json.loads(json.dumps(dict(job.arguments)))) == (left["kind"], left["arguments"])
    ended = await shop.use_cases.run_jobs.run(job.id)
    assert ended is not None
    assert ended.error is None
    written = {file: kept.file for (_, file), kept in shop.store.files.items()}
    for file, before in left["files"].items():
        if not file.startswith("upload"):
            # What is only there at the end, or only since a later release.
            assert written[file].state.keys() - {"whole", "broken"} == before["state"].keys() - {"whole"}
