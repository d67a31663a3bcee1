"""The search for orders of the console."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.exports.request import ExportRequest
from application.orders.find_by_id_part import IdPart
from application.ports.order_search import OrderFilter
from domain.ids import OrderId, ProductId, UserId, UserName, customer_id
from domain.orders.status import OrderStatus
from entrypoints.http.console.formats import short
from entrypoints.http.console.order_query import InvalidSearch, order_query, search_word
from tests.unit.builders import NOW

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        (ID, {"order_id": OrderId(UUID(ID))}),
        (f"id:{ID}", {"order_id": OrderId(UUID(ID))}),
        ("Ines@example.org", {"email": "ines@example.org"}),
        ("web-1234", {"external_id": "web-1234"}),
        ("external:a:b", {"external_id": "a:b"}),
        ("customer:7", {"user_id": UserId(7)}),
        ('customer:"Ana Maria"  status:PAID', {"user_id": UserName("Ana Maria"), "statuses": {OrderStatus.PAID}}),
        ('external:6"x4"', {"external_id": '6"x4"'}),
        ("status:paid", {"statuses": frozenset({OrderStatus.PAID})}),
        ("status:PAID,FAILED", {"statuses": frozenset({OrderStatus.PAID, OrderStatus.FAILED})}),
        ("product:3,4", {"product_ids": frozenset({ProductId(3), ProductId(4)})}),
        ("placed:>1d", {"placed_after": NOW - DAY}),
        ("placed:<2w", {"placed_before": NOW - DAY * 14}),
        ("placed:>999999w", {"placed_after": datetime(1970, 1, 1, tzinfo=UTC)}),
        ("placed:>2026-11-30", {"placed_after": datetime(2026, 11, 30, tzinfo=UTC)}),
        ("placed:<2026-11-30T14:02:00Z", {"placed_before": datetime(2026, 11, 30, 14, 2, tzinfo=UTC)}),
        ("total:>100", {"total_min": 10000}),
        ("total:>99.5 total:<120", {"total_min": 9950, "total_max": 12000}),
        ("total:>5000JPY", {"total_min": 5000}),
        ("total:<1.5BHD", {"total_max": 1500}),
    ],
)
def test_words_are_conditions(text: str, wanted: dict[str, Any]) -> None:
    found = order_query(text, NOW)
    assert (found.wanted, found.waits) == (OrderFilter(**wanted), None)


@pytest.mark.parametrize("name", ["7a", "Ana Maria", '"', '\\"', "\\", 'a "b" c', "a:b", "x\\", " Ana", "status:PAID"])
def test_a_link_finds_the_orders_of_a_customer_whatever_the_name(name: str) -> None:
    word = search_word("customer", customer_id(name))
    assert order_query(word, NOW).wanted == OrderFilter(user_id=customer_id(name))
    assert order_query(f"status:PAID {word} total:>1", NOW).wanted.user_id == customer_id(name)


@pytest.mark.parametrize(
    "text",
    [
        "colour:red", "status:", "status:LOST", "product:x", "product:0", "product:", "product:\u0663", "placed:1d",
        "placed:>soon", "placed:>2026-13-01", "total:100", "total:>x", "total:>1XXX", "id:7", "customer:0",
        "stuck:no", 'customer:"Ana', 'customer:"Ana"x', "customer:1 customer:2", "status:PAID status:FAILED",
        "waiting:no", "placed:>9999999d",
    ],
)  # fmt: skip
def test_a_word_that_is_not_understood_is_told(text: str) -> None:
    with pytest.raises(InvalidSearch, match=text.rsplit(maxsplit=1)[-1].split(":", maxsplit=1)[0]):
        order_query(text, NOW)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("id:01890a5d", IdPart("01890a5d")),
        ("id:01890A5D-AC96-7", IdPart("01890a5d-ac96-7")),
        (f"id:{ID[:-1]}", IdPart(ID[:-1])),
        # As another program shows it.
        (f"id:{ID.upper()}", IdPart(ID)),
        (f"id:{short(ID)}", IdPart(ID[:13], ID[-8:])),
        ("id:01890a5d-ac96...b302099a", IdPart("01890a5d-ac96", "b302099a")),
    ],
)
def test_a_part_of_an_id_is_what_a_list_shows_of_it(text: str, part: IdPart) -> None:
    found = order_query(text, NOW)
    assert (found.part, found.instead, found.wanted) == (part, False, OrderFilter())
    assert part.is_of(OrderId(UUID(ID))) == (str(part.first) <= ID <= str(part.last) and ID.endswith(part.end))
    assert not found.is_a_filter
    assert not found.counted
    # Without the name it may be the shop's own id of an order, which comes first.
    bare = order_query(text.removeprefix("id:"), NOW)
    assert (bare.part, bare.instead, bare.wanted.external_id) == (part, True, text.removeprefix("id:"))
    assert bare.is_a_filter


@pytest.mark.parametrize(
    "text", ["01890a5", "b302099a8057", "01890a5dac96", "01890a5d-ac9g", "01890a5d…xyz", "…b302099a", ID + "0"]
)
def test_what_is_too_short_or_no_part_of_an_id_is_told(text: str) -> None:
    with pytest.raises(InvalidSearch, match="the first 8 characters"):
        order_query(f"id:{text}", NOW)
    assert order_query(text, NOW).part is None


def test_the_export_finds_what_the_search_finds() -> None:
    text = "customer:7 status:PAID,FAILED product:3 placed:>1d placed:<1h total:>1 total:<9 ines@example.org external:w"
    found = order_query(text, NOW)
    assert ExportRequest(what="orders", format="csv", only=found.as_export()).orders == found.wanted


def test_lists_with_an_index_are_counted() -> None:
    assert [order_query(text, NOW).counted for text in ("", "customer:7", "status:PAID", "customer:7 status:PAID")] == [
        True
    ] * 4
    assert [order_query(text, NOW).counted for text in ("stuck:yes", "total:>1", "status:PAID,FAILED")] == [False] * 3


def test_orders_that_wait_for_the_worker_are_a_list_of_their_own() -> None:
    told = {text: order_query(text, NOW).waits for text in ("waiting:yes", "stuck:yes", "waiting:yes stuck:yes", "")}
    assert told == {"waiting:yes": "waiting", "stuck:yes": "stuck", "waiting:yes stuck:yes": "stuck", "": None}
    assert order_query("waiting:yes status:PAID", NOW).wanted.statuses == {OrderStatus.PAID}
    assert not order_query("waiting:yes", NOW).is_a_filter
