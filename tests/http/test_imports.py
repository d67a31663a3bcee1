"""Imports over HTTP: a file is sent, done by a job, and told of row by row."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from attrs import frozen

from application.access.principal import SYSTEM, Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Scope
from application.imports.request import ImportRequest
from domain.ids import ProductId, UserId
from tests.http.browser import Answer, Browser, app_over
from tests.http.test_exports import download, export
from tests.http.test_jobs import work
from tests.unit.shop import Shop

CSV, NDJSON = "text/csv", "application/x-ndjson"
TYPES = {"csv": CSV, "ndjson": NDJSON}
PEN = {"id": 7, "name": "Pen", "price": 1250, "currency": "EUR", "stock": 5, "sku": "PEN"}
INK = {"sku": "INK", "name": "Ink", "price": 300, "currency": "EUR", "stock": 9}


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def send(
    browser: Browser, content: bytes, query: str = "what=products", type_: str = NDJSON, **more: Any
) -> Answer:
    return await browser.send("POST", f"/imports?{query}", content, content_type=type_, **more)


@frozen
class Ended:
    """An import that has ended: how it is shown, and what became of each row."""

    body: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.rows]

    @property
    def wrong(self) -> list[tuple[int, str | None, str]]:
        """The row, the place and the code of each error."""
        return [
            (row["row"], error.get("pointer"), error["code"]) for row in self.rows for error in row.get("errors", ())
        ]


async def ended(shop: Shop, browser: Browser, accepted: Answer) -> Ended:
    assert accepted.status == 202, accepted
    path = f"/imports/{accepted.body['job_id']}"
    assert accepted.headers["Location"] == path
    await work(shop)
    results = await download(browser, f"{path}/results")
    assert (results.status, results.headers["Content-Type"]) == (200, NDJSON)
    found = Ended((await browser.get(path)).body, [json.loads(line) for line in (results.body or b"").splitlines()])
    assert found.body["status"] == "COMPLETED"
    assert [row["row"] for row in found.rows] == list(range(1, found.body["rows"] + 1))
    return found


async def imported(
    shop: Shop, browser: Browser, content: bytes, query: str = "what=products", type_: str = NDJSON
) -> Ended:
    return await ended(shop, browser, await send(browser, content, query, type_))


async def catalogue(browser: Browser) -> list[dict[str, Any]]:
    return [
        {name: product[name] for name in ("id", "sku", "name", "price", "stock", "active")}
        for product in (await browser.get("/products?active=all")).body["items"]
    ]


async def test_products_are_added_and_changed(shop: Shop, browser: Browser) -> None:
    first = await imported(shop, browser, lines(PEN, INK))
    assert (first.outcomes, first.body["outcomes"], first.body["applied"]) == (["added"] * 2, {"added": 2}, True)
    changed = {"sku": "INK", "price": 350, "active": False}
    second = await imported(shop, browser, lines(PEN, changed, {"id": 9, **INK, "sku": "INK-2"}))
    assert second.outcomes == ["unchanged", "changed", "added"]
    assert [row["id"] for row in second.rows] == [7, 8, 9]
    assert await catalogue(browser) == [
        {"id": 7, "sku": "PEN", "name": "Pen", "price": 1250, "stock": 5, "active": True},
        {"id": 8, "sku": "INK", "name": "Ink", "price": 350, "stock": 9, "active": False},
        {"id": 9, "sku": "INK-2", "name": "Ink", "price": 300, "stock": 9, "active": True},
    ]


async def test_stock_moves_once_under_a_reference(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN, INK))
    delivery = lines(
        {"product_id": 7, "delta": 10, "reason": "delivery", "reference": "D-17"},
        {"sku": "INK", "delta": -2, "reason": "broken", "reference": "D-17"},
        {"sku": "INK", "delta": 1, "reason": "found"},
    )
    first = await imported(shop, browser, delivery, "what=stock")
    again = await imported(shop, browser, delivery, "what=stock")
    assert (first.outcomes, again.outcomes) == (["changed"] * 3, ["unchanged", "unchanged", "changed"])
    assert [product["stock"] for product in await catalogue(browser)] == [15, 9]
    other = await imported(
        shop, browser, lines({"sku": "PEN", "delta": 11, "reason": "x", "reference": "D-17"}), "what=stock"
    )
    assert other.wrong == [(1, "/reference", "reference_reused")]
    adjustments = (await browser.get("/products/7/stock")).body["items"]
    assert [made["delta"] for made in adjustments] == [10, 5]


async def test_nothing_is_done_if_one_row_is_bad(shop: Shop, browser: Browser) -> None:
    found = await imported(shop, browser, lines(PEN, {**INK, "price": -1}, {"sku": "LONE"}))
    assert (found.body["applied"], found.body["outcomes"]) == (False, {"would_be_added": 1, "bad": 2})
    assert found.outcomes == ["would_be_added", "bad", "bad"]
    assert found.wrong == [
        (2, "/price", "out_of_range"),
        (3, "/name", "invalid_product"),
        (3, "/price", "invalid_product"),
        (3, "/currency", "invalid_product"),
    ]
    assert await catalogue(browser) == []


async def test_the_rest_is_done_where_that_is_asked_for(shop: Shop, browser: Browser) -> None:
    found = await imported(shop, browser, lines(PEN, {**INK, "price": -1}), "what=products&on_error=skip")
    assert (found.body["applied"], found.outcomes) == (True, ["added", "bad"])
    assert [product["id"] for product in await catalogue(browser)] == [7]


async def test_a_trial_changes_nothing(shop: Shop, browser: Browser) -> None:
    for query in ("what=products&dry_run=true", "what=products&dry_run=true&on_error=skip"):
        found = await imported(shop, browser, lines(PEN, INK), query)
        assert (found.body["applied"], found.outcomes) == (False, ["would_be_added"] * 2)
        assert all("id" not in row for row in found.rows)
    assert await catalogue(browser) == []
    assert (await browser.get("/audit?subject=product%207")).body["items"] == []


async def test_the_audit_names_who_has_imported(shop: Shop, browser: Browser) -> None:
    accepted = await send(browser, lines(PEN), more=[("Request-Id", "the-import")])
    await work(shop)
    [added] = (await browser.get("/audit?subject=product%207")).body["items"]
    assert (added["action"], added["request_id"]) == ("product.added", "the-import")
    [started] = (await browser.get(f"/audit?subject=import%20{accepted.body['job_id']}")).body["items"]
    assert (started["action"], started["after"]["what"], started["key_id"]) == (
        "import.started",
        "products",
        added["key_id"],
    )


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_what_an_export_has_written_an_import_reads(shop: Shop, browser: Browser, format_: str) -> None:
    await imported(
        shop, browser, lines({**PEN, "name": "=1+1", "metadata": {"a": 'b,"c"'}}, {**INK, "name": "'-\nInk"})
    )
    await imported(shop, browser, lines({"sku": "INK", "active": False}))
    written = (await download(browser, await export(shop, browser, "products", format=format_))).body
    written = written if isinstance(written, bytes) else json.dumps(written).encode()

    other = Shop()
    other_browser = Browser(app_over(other.use_cases))
    there = await imported(other, other_browser, written, type_=TYPES[format_])
    here = await imported(shop, browser, written, type_=TYPES[format_])

    assert (there.outcomes, here.outcomes) == (["added"] * 2, ["unchanged"] * 2)
    names = ("id", "name", "price", "currency", "stock", "sku", "active", "metadata")
    shown = [
        [{name: product[name] for name in names} for product in (await each.get("/products?active=all")).body["items"]]
        for each in (browser, other_browser)
    ]
    assert shown[0] == shown[1]
    assert await other.findings() == []


async def test_a_key_makes_one_import_of_a_file_that_is_sent_twice(shop: Shop, browser: Browser) -> None:
    first, again = [await send(browser, lines(PEN), keys=["april"]) for _ in range(2)]
    assert first.body == again.body
    other = await send(browser, lines(INK), keys=["april"])
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    await work(shop)
    assert [product["id"] for product in await catalogue(browser)] == [7]
    assert len((await browser.get("/jobs?kind=import")).body["items"]) == 1
    assert {name for _, name in shop.store.files} == {"trial", "results"}


async def test_a_table_is_read_as_spreadsheets_write_it(shop: Shop, browser: Browser) -> None:
    table = (
        "\ufeff# of April\r\n"
        "sku,name,price,currency,stock,active,metadata\r\n"
        '00123,"Pen, ""fine""\r\nblack",1250,EUR,5,TRUE,"{""a"": ""b""}"\r\n'
        "\r\n"
        ",,,,,,\r\n"
        "INK,'=Ink,300,EUR,,,\r\n"
    ).encode()
    found = await imported(shop, browser, table, type_=CSV)
    assert [(row["row"], row["line"], row["outcome"]) for row in found.rows] == [(1, 3, "added"), (2, 7, "added")]
    pen, ink = (await browser.get("/products")).body["items"]
    assert (pen["sku"], pen["name"], pen["metadata"], pen["active"]) == (
        "00123",
        'Pen, "fine"\r\nblack',
        {"a": "b"},
        True,
    )
    assert (ink["name"], ink["stock"], ink["active"]) == ("=Ink", 0, True)


HEAD = b"id,name,price,currency\n"


@pytest.mark.parametrize(
    ("type_", "content", "place", "code"),
    [
        (CSV, HEAD + b"7,Pen,12.50,EUR", "/price", "wrong_type"),
        (CSV, HEAD + b"7,Pen,1" + b"0" * 30 + b",EUR", "/price", "out_of_range"),
        (CSV, HEAD + b"7,Pen,1" + b"0" * 5000 + b",EUR", "/price", "wrong_type"),
        (CSV, HEAD + b"7,Pen,NaN,EUR", "/price", "wrong_type"),
        (CSV, HEAD + b"7,Pen," + b"[" * 30000 + b",EUR", "/price", "wrong_type"),
        (CSV, HEAD + b"7,Pen,1,XXQ", "/currency", "not_one_of"),
        (CSV, HEAD + b"7,P\xff,1,EUR", None, "malformed"),
        (CSV, HEAD + b"7,P\0en,1,EUR", "/name", "invalid_product"),
        (CSV, HEAD + b"7,Pen,1", None, "malformed"),
        (CSV, HEAD + b"7,Pen,1,EUR,5", None, "malformed"),
        (CSV, HEAD + b'7,"Pen"x,1,EUR', None, "malformed"),
        (CSV, HEAD + b",Pen,1,EUR", "/id", "required"),
        (NDJSON, lines(PEN).replace(b"1250", b"1" + b"0" * 30), "/price", "out_of_range"),
        (NDJSON, lines(PEN).replace(b"}", b',"price":1}'), None, "malformed"),
        (NDJSON, lines(PEN).replace(b"Pen", b"P\0en"), None, "malformed"),
        (NDJSON, lines(PEN).replace(b"Pen", b"P\xffen"), None, "malformed"),
        (NDJSON, lines({**PEN, "name": "P\0en"}), "/name", "invalid_product"),
        (NDJSON, lines({**PEN, "colour": "red"}), "/colour", "unknown"),
        (NDJSON, lines({**PEN, "id": 0}), "/id", "out_of_range"),
        (NDJSON, lines({**PEN, "name": "x" * 70_000}), None, "malformed"),
        (NDJSON, b'{"id":' + b"[" * 60_000 + b"\n", "/id", "wrong_type"),
        (NDJSON, lines(PEN)[:-5], None, "malformed"),
    ],
)
async def test_a_bad_row_is_told_as_a_request_would_be(  # noqa: PLR0917 - the fixtures, and a table
    shop: Shop, browser: Browser, type_: str, content: bytes, place: str | None, code: str
) -> None:
    found = await imported(shop, browser, content, type_=type_)
    assert found.wrong[0] == (1, place, code)
    assert await catalogue(browser) == []


@pytest.mark.parametrize(
    ("type_", "content", "told"),
    [
        (NDJSON, b"id,name\n7,Pen\n", "no JSON object"),
        (NDJSON, b'[{"id": 7}]', "no JSON object"),
        (NDJSON, lines({"as_of_position": 3, "what": "orders"}), "export of orders"),
        (NDJSON, '{"id": 7}'.encode("utf-16"), "UTF-16"),
        (CSV, lines(PEN), "no column"),
        (CSV, b"id;name;price\n7;Pen;1250\n", "commas"),
        (CSV, b"id,colour\n", "'colour'"),
        (CSV, b"id,name,id\n", "twice"),
        (CSV, b"id,name\xff\n", "UTF-8"),
        (CSV, b'id,name\n7,"Pen\n' + b"x,\n" * 30_000, "quotation mark"),
        (CSV, HEAD + b"x" * 70_000, "65536"),
    ],
)
async def test_a_file_that_can_not_be_read_is_refused_at_once(
    shop: Shop, browser: Browser, type_: str, content: bytes, told: str
) -> None:
    answer = await send(browser, content, type_=type_)
    assert (answer.status, answer.code) == (422, "unreadable_file")
    assert told in answer.body["detail"]
    assert (shop.store.jobs, shop.store.files) == ({}, {})


async def test_of_a_file_that_can_not_be_read_to_its_end_nothing_is_done(shop: Shop, browser: Browser) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield HEAD + b"7,Pen,1250,EUR\n"
        yield b'8,"Ink,300,EUR\n'

    job = await shop.use_cases.start_import(
        SYSTEM, ImportRequest(what="products", format="csv", on_error="skip"), parts()
    )
    await work(shop)
    shown = (await browser.get(f"/imports/{job.id}")).body
    assert (shown["status"], shown["rows"]) == ("DISCARDED", 0)
    assert "line 3: a quotation mark" in shown["error"]
    results = await browser.get(f"/imports/{job.id}/results")
    assert (results.status, results.code) == (409, "import_not_ready")
    assert await catalogue(browser) == []


async def test_what_two_rows_of_a_file_name_is_told(shop: Shop, browser: Browser) -> None:
    found = await imported(shop, browser, lines(PEN, {**PEN, "sku": "B"}, {**INK, "sku": "PEN"}))
    assert found.wrong == [(2, "/id", "repeated"), (3, "/sku", "repeated")]
    rows = [{"product_id": 7, "delta": 1, "reason": "r", "reference": "D"}] * 2
    await imported(shop, browser, lines(PEN))
    found = await imported(shop, browser, lines(*rows, rows[0] | {"product_id": 8}), "what=stock&on_error=skip")
    assert found.wrong == [(2, "/reference", "repeated"), (3, None, "unknown_product")]


async def test_a_sku_of_another_product_is_refused(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN, INK))
    found = await imported(shop, browser, lines({"id": 7, "sku": "INK"}, {**PEN, "id": 10}))
    assert found.wrong == [(1, None, "sku_taken"), (2, None, "sku_taken")]


async def test_stock_that_is_not_there_is_not_taken(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN))
    out = {"product_id": 7, "delta": -6, "reason": "lost", "reference": "L-1"}
    found = await imported(shop, browser, lines(out), "what=stock")
    assert found.wrong == [(1, None, "out_of_stock")]
    # The refusal is not kept under the reference.
    await imported(shop, browser, lines({"product_id": 7, "delta": 1, "reason": "found"}), "what=stock")
    assert (await imported(shop, browser, lines(out), "what=stock")).outcomes == ["changed"]
    assert [product["stock"] for product in await catalogue(browser)] == [0]


async def test_the_stock_of_a_product_that_is_there_stays(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN))
    await browser.order(7, 2)
    found = await imported(shop, browser, lines({**PEN, "stock": 99, "price": 1300}))
    assert found.outcomes == ["changed"]
    [pen] = await catalogue(browser)
    assert (pen["stock"], pen["price"]) == (5, 1300)


def an_order(external_id: str = "web-1", **more: Any) -> dict[str, Any]:
    return {"external_id": external_id, "user_id": 1, "items": [{"product_id": 7, "quantity": 2}], **more}


async def test_orders_that_wait_are_placed_once_and_charge_nobody(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN))
    rows = [an_order(email="ana@example.org", status="PENDING"), an_order("web-2", user_id="berta")]
    first = await imported(shop, browser, lines(*rows), "what=orders")
    assert first.outcomes == ["added", "added"]
    placed = (await browser.get(f"/orders/{first.rows[0]['id']}")).body
    assert (placed["status"], placed["external_id"], placed["total_price"]) == ("PENDING", "web-1", 2500)
    assert (placed["email"], shop.provider.ledger) == ("ana@example.org", [])
    # What has become of an order since is left as it is.
    await browser.post(f"/orders/{placed['order_id']}/pay", {})
    again = await imported(shop, browser, lines(*rows, an_order("web-3")), "what=orders")
    assert again.outcomes == ["unchanged", "unchanged", "added"]
    assert again.rows[0]["id"] == placed["order_id"]
    assert len(shop.store.orders) == 3


@pytest.mark.parametrize(
    ("row", "place", "code"),
    [
        (an_order(status="COMPLETED"), "/status", "not_one_of"),
        (an_order(status="PAID"), "/status", "not_one_of"),
        (an_order(pay=True), "/pay", "unknown"),
        ({**an_order(), "external_id": None}, "/external_id", "wrong_type"),
        (an_order(items=[]), "/items", "wrong_length"),
        (an_order(user_id=0), "/user_id", "out_of_range"),
        (an_order(items=[{"product_id": 8, "quantity": 1}]), "/items/0/product_id", "unknown_product"),
        (an_order(items=[{"product_id": 7, "quantity": 2, "unit_price": 1}]), "/items/0/unit_price", "price_changed"),
    ],
)
async def test_an_order_that_can_not_be_placed_is_bad(
    shop: Shop, browser: Browser, row: dict[str, Any], place: str, code: str
) -> None:
    await imported(shop, browser, lines(PEN))
    found = await imported(shop, browser, lines(an_order("web-0"), row), "what=orders")
    assert found.wrong == [(2, place, code)]
    assert shop.store.orders == {}


async def test_an_external_id_names_one_order_of_a_customer(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN))
    other = [{"product_id": 7, "quantity": 3}]
    rows = [an_order(), an_order(items=other), an_order(user_id=2, items=other)]
    found = await imported(shop, browser, lines(*rows), "what=orders&on_error=skip")
    assert found.wrong == [(2, "/external_id", "repeated")]
    found = await imported(shop, browser, lines(an_order(items=other)), "what=orders")
    assert found.wrong == [(1, "/external_id", "external_id_taken")]
    assert len(shop.store.orders) == 2


async def test_orders_are_read_from_a_table(shop: Shop, browser: Browser) -> None:
    await imported(shop, browser, lines(PEN))
    table = (
        b"external_id,user_id,items,note\r\n"
        b'web-1,1,"[{""product_id"": 7, ""quantity"": 1}]",\'=ring\r\n'
        b'web-2,007,"[{""product_id"": 7, ""quantity"": 1}]",\r\n'
    )
    found = await imported(shop, browser, table, "what=orders", CSV)
    assert found.outcomes == ["added", "added"]
    notes = {order.user_id: order.details and order.details.note for order in shop.store.orders.values()}
    assert notes == {1: "=ring", "007": None}


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", "what"),
        ("what=carts", "what"),
        ("what=products&dry_run=yes", "dry_run"),
        ("what=products&on_error=go", "on_error"),
        ("what=products&format=csv", "format"),
    ],
)
async def test_a_wrong_query_is_refused(browser: Browser, query: str, where: str) -> None:
    answer = await send(browser, lines(PEN), query)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.wrong == [where]


@pytest.mark.parametrize("scopes", [ALL_SCOPES - {Scope.PRODUCTS_WRITE}, CUSTOMER_SCOPES])
async def test_an_import_needs_the_scope_of_what_it_changes(
    shop: Shop, browser: Browser, scopes: frozenset[Scope]
) -> None:
    job_id = (await send(browser, lines(PEN))).body["job_id"]

    async def let_in(_: object) -> Principal:
        return Principal("somebody", user_id=UserId(1) if scopes == CUSTOMER_SCOPES else None, scopes=scopes)

    other = Browser(app_over(shop.use_cases, authenticate=let_in))
    for answer in (
        await send(other, lines(PEN)),
        await other.get(f"/imports/{job_id}"),
        await other.get(f"/imports/{job_id}/results"),
    ):
        assert (answer.status, answer.code) == (403, "forbidden")
    assert len(shop.store.jobs) == 1


async def test_a_file_with_another_digest_is_not_taken(shop: Shop, browser: Browser) -> None:
    digest = b64encode(sha256(lines(PEN)).digest()).decode()
    header = ("Content-Digest", f"sha-256=:{digest}:")
    wrong = await send(browser, lines(INK), more=[header])
    assert (wrong.status, wrong.code, wrong.wrong) == (400, "invalid_header", ["Content-Digest"])
    assert (shop.store.jobs, shop.store.files) == ({}, {})
    assert (await send(browser, lines(PEN), more=[header])).status == 202


async def test_a_file_that_is_too_large_is_not_taken(shop: Shop) -> None:
    browser = Browser(app_over(shop.use_cases, max_import=1000))
    answer = await send(browser, lines(PEN) * 20)
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert "1000 bytes" in answer.body["detail"]
    assert (shop.store.jobs, shop.store.files) == ({}, {})


@pytest.mark.parametrize("type_", ["application/json", "text/csv; charset=latin1", "text/plain", None])
async def test_a_file_of_another_type_is_refused(browser: Browser, type_: Any) -> None:
    answer = await send(browser, lines(PEN), type_=type_)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert NDJSON in answer.body["detail"]


async def test_a_file_may_be_larger_than_other_bodies(shop: Shop, browser: Browser) -> None:
    rows = [{"id": id_, "name": "x" * 200, "price": 1, "currency": "EUR"} for id_ in range(1, 2001)]
    content = lines(*rows)
    assert len(content) > 500_000
    found = await imported(shop, browser, content)
    assert (found.body["outcomes"], found.body["progress"]) == ({"added": 2000}, {"done": 2000, "total": 2000})
    async with shop.unit_of_work.reading() as tx:
        assert await tx.products.last_id() == ProductId(2000)
