"""Exports over HTTP: asked for, written by a job, and downloaded as a whole or in parts."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from msgspec import Struct
from uuid_utils.compat import uuid7

from adapters.codecs.export_rows import OrderRow, ProductRow
from application.access.principal import Principal
from application.access.scopes import CUSTOMER_SCOPES, Scope
from application.ports.feed import Position
from domain.ids import UserId
from domain.orders.details import Address, OrderDetails
from entrypoints.http.bodies.orders import OrderBody
from entrypoints.http.bodies.products import ProductBody
from entrypoints.http.replies import BrokenOff
from tests.http.browser import Answer, Browser, app_over
from tests.http.test_jobs import work
from tests.unit.shop import Shop, a_request


async def export(shop: Shop, browser: Browser, what: str = "orders", **more: Any) -> str:
    """Ask for an export, let it be written, and return its path."""
    await shop.use_cases.give_positions()
    accepted = await browser.post("/exports", {"what": what, **more})
    assert accepted.status == 202, accepted
    assert accepted.headers["Location"] == f"/jobs/{accepted.body['job_id']}"
    await work(shop)
    return f"/exports/{accepted.body['job_id']}"


async def download(browser: Browser, path: str, **headers: str) -> Answer:
    return await browser.send("GET", path, content_type=None, more=list(headers.items()))


async def records(browser: Browser, path: str) -> list[Any]:
    answer = await download(browser, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.body.splitlines()]


async def table(browser: Browser, path: str) -> tuple[str, list[dict[str, str]]]:
    answer = await download(browser, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv")
    first, _, rest = answer.body.decode().partition("\r\n")
    return first, list(csv.DictReader(io.StringIO(rest, newline="")))


async def test_orders_are_exported_as_the_api_shows_them(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    details = OrderDetails(
        external_id="web-1", email="ana@example.org", shipping_address=Address(city="Kassel"), metadata={"a": "b"}
    )
    plain, paid = await shop.order((pen, 2)), await shop.paid((pen, 1))
    [detailed] = await shop.place_order([evolve(a_request((pen, 1)), details=details)])
    shown = [(await browser.get(f"/orders/{order.id}")).body for order in (plain, paid, detailed)]  # type: ignore[union-attr]

    head, *rows = await records(browser, await export(shop, browser))

    assert head == {"as_of_position": shop.store.feed_given, "what": "orders"}
    assert head["as_of_position"] > 0
    assert sorted(rows, key=lambda row: row["order_id"]) == sorted(shown, key=lambda row: row["order_id"])


async def test_products_are_exported_as_the_api_shows_them(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    shown = (await browser.get(f"/products/{pen.id}")).body
    head, *rows = await records(browser, await export(shop, browser, "products"))
    assert (head["what"], rows) == ("products", [shown])


async def test_events_are_exported_as_the_feed_has_them(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    await shop.paid((pen, 1))
    path = await export(shop, browser, "events")
    # What happens afterwards is not in it, but in the feed after its position.
    await shop.order((pen, 1))
    await shop.use_cases.give_positions()
    feed = (await browser.get("/events?after=0")).body["items"]

    head, *rows = await records(browser, path)

    assert [*rows, *(await browser.get(f"/events?after={head['as_of_position']}")).body["items"]] == feed
    assert [row["position"] for row in rows] == [1, 2, 3, 4]


async def test_a_table_has_its_position_its_columns_and_one_value_in_each_cell(shop: Shop, browser: Browser) -> None:
    order = await shop.order((await shop.sells(), 2))
    shown = (await browser.get(f"/orders/{order.id}")).body
    first, [row] = await table(browser, await export(shop, browser, format="csv"))
    assert first == f"# as_of_position: {shop.store.feed_given}"
    assert list(row) == list(shown)
    assert json.loads(row.pop("items")) == shown.pop("items")
    assert (row.pop("refund_requested"), row.pop("out_of_stock"), row.pop("metadata")) == ("false", "[]", "{}")
    assert row == {name: "" if shown[name] is None else str(shown[name]) for name in row}


@pytest.mark.parametrize("note", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "'=1", "'", "a=1", 'a "b", c\nd', "€"])
async def test_no_cell_is_taken_for_a_formula(shop: Shop, browser: Browser, note: str) -> None:
    pen = await shop.sells()
    await shop.place_order([evolve(a_request((pen, 1)), details=OrderDetails(note=note))])
    _, [row] = await table(browser, await export(shop, browser, format="csv"))
    assert row["note"][0] not in "=+-@\t\r"
    assert row["note"] == (f"'{note}" if note[0] in "=+-@\t\r" or note == "'=1" else note)


async def test_an_export_has_what_its_filter_says(shop: Shop, browser: Browser) -> None:
    pen, ink = await shop.sells(), await shop.sells(price=300)
    mine, _ = await shop.order((pen, 1), user_id=7), await shop.order((ink, 1), user_id=8)
    paid = await shop.paid((ink, 1))

    async def ids(**only: Any) -> list[str]:
        _, *rows = await records(browser, await export(shop, browser, filter=only))
        return [row["order_id"] for row in rows]

    assert await ids(user_id=7) == [str(mine.id)]
    assert await ids(status=["PAID", "REFUNDED"]) == [str(paid.id)]
    assert await ids(product_id=[pen.id], total_max=10**6) == [str(mine.id)]
    assert await ids(placed_before="2000-01-01T00:00:00Z") == []
    _, *rows = await records(browser, await export(shop, browser, "products", filter={"active": False}))
    assert rows == []
    only = {"types": ["order.pa*"], "order_id": str(paid.id)}
    assert (await browser.post("/exports", {"what": "events", "filter": only})).status == 422
    only["types"] = ["order.*"]
    _, *rows = await records(browser, await export(shop, browser, "events", filter=only))
    assert {row["order_id"] for row in rows} == {str(paid.id)}
    assert len(rows) == 4


async def test_a_filter_that_does_not_go_with_the_export_is_refused(browser: Browser) -> None:
    answer = await browser.post("/exports", {"what": "products", "filter": {"user_id": 1, "types": ["order.*"]}})
    assert (answer.status, answer.code) == (422, "invalid_export")
    assert answer.wrong == ["/filter/user_id", "/filter/types"]
    assert (await browser.post("/exports", {"what": "customers"})).code == "invalid_request"
    assert (await browser.post("/exports", {"what": "orders", "format": "xlsx"})).code == "invalid_request"


async def test_one_key_is_one_export(shop: Shop, browser: Browser) -> None:
    first = await browser.post("/exports", {"what": "orders"}, key="monthly")
    again = await browser.post("/exports", {"what": "orders"}, key="monthly")
    assert first.body == again.body
    assert (await browser.post("/exports", {"what": "products"}, key="monthly")).code == "idempotency_key_reused"
    await work(shop)
    assert (await download(browser, f"/exports/{first.body['job_id']}")).status == 200


async def test_an_export_can_be_downloaded_when_it_is_written(shop: Shop, browser: Browser) -> None:
    job_id = (await browser.post("/exports", {"what": "orders"})).body["job_id"]
    assert (await browser.get(f"/exports/{job_id}")).code == "export_not_ready"
    await browser.send("POST", f"/jobs/{job_id}/cancel")
    answer = await browser.get(f"/exports/{job_id}")
    assert (answer.status, answer.code) == (409, "export_not_ready")
    assert "CANCELLED" in answer.body["detail"]
    # A job that was cancelled can be had again.
    await browser.send("POST", f"/jobs/{job_id}/retry")
    await work(shop)
    assert (await download(browser, f"/exports/{job_id}")).status == 200


async def test_there_is_no_unknown_export(shop: Shop, browser: Browser) -> None:
    assert (await browser.get(f"/exports/{uuid7()}")).code == "unknown_export"
    assert (await browser.get("/exports/7")).code == "not_an_id"
    message = (await browser.post("/messages", {"content": "hello"})).body["job_id"]
    await work(shop)
    assert (await browser.get(f"/exports/{message}")).code == "unknown_export"


async def test_an_export_is_kept_for_a_while(shop: Shop, browser: Browser) -> None:
    path = await export(shop, browser)
    shop.clock.forward(timedelta(hours=23))
    assert await shop.use_cases.remove_files() == 0
    shop.clock.forward(timedelta(hours=2))
    assert await shop.use_cases.remove_files() == 1
    assert (await browser.get(path)).code == "unknown_export"
    assert shop.store.files == {}


async def test_any_part_of_an_export_can_be_downloaded(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    for _ in range(3):
        await shop.order((pen, 1))
    path = await export(shop, browser)
    whole = await download(browser, path)
    content, etag, size = whole.body, whole.headers["ETag"], len(whole.body)
    assert (whole.headers["Accept-Ranges"], whole.headers["Content-Length"]) == ("bytes", str(size))
    assert whole.headers["Holdfast-Position"] == str(shop.store.feed_given)
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        (f"bytes={size - 5}-", size - 5, size),
        ("bytes=5-99999999", 5, size),
        ("bytes=-7", size - 7, size),
        ("Bytes=-99999999", 0, size),
    ):
        part = await download(browser, path, Range=asked)
        assert (part.status, part.body) == (206, content[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["Content-Length"] == str(end - start)
        assert (await download(browser, path, **{"Range": asked, "If-Range": etag})).body == part.body
    # As RFC 9110 has it: what is no range, several at once, and one of another version are answered with all.
    for asked in ("bytes=9-5", "bytes=-", "items=1-2", "bytes=0-1,4-5", "bytes", "bytes=1"):
        assert (await download(browser, path, Range=asked)).body == content
    assert (await download(browser, path, **{"Range": "bytes=1-2", "If-Range": '"another"'})).body == content


@pytest.mark.parametrize("first", [0, 10**17])
async def test_a_range_behind_the_end_is_refused(shop: Shop, browser: Browser, first: int) -> None:
    path = await export(shop, browser)
    size = (await download(browser, path)).headers["Content-Length"]
    answer = await download(browser, path, Range=f"bytes={int(size) + first}-")
    assert (answer.status, answer.code) == (416, "unsatisfiable_range")
    assert answer.headers["Content-Range"] == f"bytes */{size}"
    assert (await download(browser, path, Range="bytes=-0")).code == "unsatisfiable_range"


async def test_who_has_an_export_need_not_download_it_again(shop: Shop, browser: Browser) -> None:
    path = await export(shop, browser)
    etag = (await download(browser, path)).headers["ETag"]
    assert (await download(browser, path, **{"If-None-Match": etag})).status == 304
    assert (await download(browser, path, **{"If-None-Match": '"another"'})).status == 200
    assert (await download(browser, path, Accept="text/csv")).code == "not_acceptable"


async def test_a_download_breaks_off_when_its_export_is_removed(shop: Shop, browser: Browser) -> None:
    path = await export(shop, browser)
    [(key, kept)] = shop.store.files.items()
    # Its end is gone.
    shop.store.files[key] = evolve(kept, content=kept.content[:-1])
    with pytest.raises(BrokenOff, match="removed"):
        await download(browser, path)


@pytest.mark.parametrize(
    ("by", "code"),
    [
        (Principal("a customer", user_id=UserId(1), scopes=CUSTOMER_SCOPES), "forbidden"),
        (Principal("without events", scopes=frozenset({Scope.ORDERS_READ})), "forbidden"),
    ],
    ids=lambda each: getattr(each, "key_id", ""),
)
async def test_who_may_not_read_it_gets_no_export(shop: Shop, browser: Browser, by: Principal, code: str) -> None:
    async def authenticate(_: object) -> Principal:
        return by

    path = await export(shop, browser, "events")
    stranger = Browser(app_over(shop.use_cases, authenticate=authenticate))
    assert (await stranger.get(path)).code == code
    assert (await stranger.post("/exports", {"what": "events"})).code == code


async def test_positions_that_come_later_are_not_in_an_export_of_events(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    await shop.order((pen, 1))
    await shop.use_cases.give_positions()
    job_id = (await browser.post("/exports", {"what": "events"})).body["job_id"]
    await shop.order((pen, 1))
    await work(shop)
    head, *rows = await records(browser, f"/exports/{job_id}")
    assert (head["as_of_position"], [row["position"] for row in rows]) == (Position(1), [1])


@pytest.mark.parametrize(("row", "body"), [(OrderRow, OrderBody), (ProductRow, ProductBody)])
def test_a_row_has_the_members_that_are_read_over_http(row: type[Struct], body: type[Struct]) -> None:
    # A change that waits has a job, which is no part of its order.
    assert row.__struct_fields__ == tuple(name for name in body.__struct_fields__ if name != "job_id")
