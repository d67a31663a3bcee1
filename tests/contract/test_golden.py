"""Data of earlier releases is read for good, and the data of this one has a known shape.

A file in `golden/` is never changed and never removed, since somebody's database has such bytes. When a test here fails
after a change of a shape, give the shape a way to read the old bytes, and add files with the next number and their
values in `golden_values.py`.
"""

import json
from collections.abc import Callable, KeysView, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypedDict
from uuid import UUID

import pytest
from attrs import fields_dict
from msgspec import convert
from msgspec.structs import fields as struct_fields
from quart import Quart

from adapters.codecs import events, stored_responses
from adapters.codecs.event_shapes import EVENT_SHAPES
from adapters.codecs.shapes import OrderShape, ProductShape
from adapters.rabbitmq.active_consumer import Receipt
from adapters.rabbitmq.dead_letters import _dead_message
from adapters.rabbitmq.received import Received
from adapters.rabbitmq.subscription import _headers
from adapters.redis import catalogue_cache, recent_orders
from application.ports.idempotency import IdempotencyKey
from application.ports.order_search import OrderFilter
from domain.catalogue.product import Product
from domain.dead_letter import DeadMessage
from domain.errors import DomainError
from domain.ids import OrderId, ProductId, customer_id
from domain.orders.events import EVENT_TYPES
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.http.cursors import Cursors
from entrypoints.http.idempotency import _fingerprint
from tests.contract.golden_values import CACHED_ORDERS, CACHED_PAGES, EVENTS, STORED_RESPONSES

GOLDEN: Final = Path(__file__).with_name("golden")
# For each kind: its values by the names of their files, and how it is written and read.
KINDS: Final[Mapping[str, tuple[Mapping[str, Any], Callable[[Any], bytes], Callable[[bytes], Any]]]] = {
    "events": (EVENTS, events.encode, events.decode),
    "stored_responses": (STORED_RESPONSES, stored_responses.encode, stored_responses.decode),
}
FILES: Final = [(kind, name) for kind, (values, _, _) in KINDS.items() for name in values]


def golden(kind: str, name: str) -> bytes:
    return (GOLDEN / kind / name).read_bytes()


def names_in(kind: str) -> KeysView[str]:
    """A set in the same order in every process: workers must agree on the order of the tests that are made from it."""
    return dict.fromkeys(sorted(path.name for path in (GOLDEN / kind).iterdir())).keys()


def as_value(thing: Any) -> Any:
    """Errors are compared by what they say."""
    if not isinstance(thing, DomainError):
        return thing
    return (type(thing), str(thing), thing.field, [as_value(other) for other in thing.others])


def newest(names: Mapping[str, Any]) -> list[str]:
    """Of each thing the file with the highest number."""
    found: dict[str, tuple[int, str]] = {}
    for name in names:
        thing, number, _ = name.rsplit(".", 2)
        found[thing] = max(found.get(thing, (0, "")), (int(number), name))
    return [name for _, name in found.values()]


def test_every_file_has_a_value_and_every_value_a_file() -> None:
    kinds = {**{kind: values for kind, (values, _, _) in KINDS.items()}}
    kinds |= {"cached_orders": CACHED_ORDERS, "cached_pages": CACHED_PAGES}
    # Those of test_golden_messages.py, test_golden_ledger.py, test_golden_work.py and test_golden_unfinished.py.
    others = {"announcements", "work", "ledger", "jobs", "states", "unfinished", "carts", "webhooks"}
    assert {path.name for path in GOLDEN.iterdir() if path.is_dir()} == kinds.keys() | others
    for kind, values in kinds.items():
        assert names_in(kind) == values.keys()


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_what_was_stored_once_is_read_for_good(kind: str, name: str) -> None:
    values, _, decode = KINDS[kind]
    assert as_value(decode(golden(kind, name))) == as_value(values[name])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in FILES if name in newest(KINDS[kind][0])])
def test_what_is_stored_today_has_a_known_shape(kind: str, name: str) -> None:
    values, encode, _ = KINDS[kind]
    assert encode(values[name]) == golden(kind, name)


def test_there_is_an_example_of_everything_that_is_stored() -> None:
    assert {type(event) for event in EVENTS.values()} == set(EVENT_TYPES) == EVENT_SHAPES.keys()
    refusals = {answer.code for answer in STORED_RESPONSES.values() if isinstance(answer, DomainError)}
    assert refusals == stored_responses._REFUSALS.keys()  # noqa: SLF001 - those that can be read
    orders = [answer for answer in STORED_RESPONSES.values() if isinstance(answer, Order)]
    # Each field has a value that is not its default in one of them.
    defaults = {name: field.default for name, field in fields_dict(Order).items()}
    assert not [name for name, default in defaults.items() if all(getattr(o, name) == default for o in orders)]


@pytest.mark.parametrize(("kind", "shape"), [(Order, OrderShape), (Product, ProductShape), *EVENT_SHAPES.items()])
def test_no_field_is_left_out_of_what_is_stored(kind: type, shape: type) -> None:
    """A field that has no place in the shape would be lost without a word."""
    assert {field.name for field in struct_fields(shape)} == set(fields_dict(kind))


def test_an_order_in_the_cache_has_the_shape_that_its_digit_names() -> None:
    """When this fails, `SHAPE` in adapters/redis/recent_orders.py needs the next digit."""
    name = f"failed.{recent_orders.SHAPE.decode()}.json"
    [(_, _, body)] = recent_orders._entries([CACHED_ORDERS[name]])  # noqa: SLF001 - what Redis keeps
    assert body == golden("cached_orders", name)


@pytest.mark.parametrize("name", CACHED_ORDERS)
def test_a_cached_order_is_read_in_this_shape_and_ignored_in_all_others(name: str) -> None:
    head = b"0" * recent_orders._HEAD_BYTES  # noqa: SLF001 - what Redis keeps
    is_of_today = name == f"failed.{recent_orders.SHAPE.decode()}.json"
    found = recent_orders._decode(head + golden("cached_orders", name))  # noqa: SLF001
    assert found == (CACHED_ORDERS[name] if is_of_today else None)


@pytest.mark.parametrize("name", CACHED_PAGES)
def test_a_cached_page_has_the_shape_that_its_digit_names(name: str) -> None:
    """When this fails, `SHAPE` in adapters/redis/catalogue_cache.py needs the next digit, and a file."""
    epoch, entry = b"0" * catalogue_cache.EPOCH_BYTES, golden("cached_pages", name)
    is_of_today = name == f"page.{catalogue_cache.SHAPE.decode()}.json"
    assert catalogue_cache._decode(epoch + entry, epoch) == (CACHED_PAGES[name] if is_of_today else None)  # noqa: SLF001
    if is_of_today:
        assert catalogue_cache.SHAPE + catalogue_cache._ENCODER.encode(CACHED_PAGES[name]) == entry  # noqa: SLF001


def examples(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_bytes())


@pytest.mark.parametrize("example", examples("keys"))
def test_the_order_of_a_key_has_the_same_id_in_every_release(example: Mapping[str, str]) -> None:
    """Otherwise a retry after an upgrade would be a second order."""
    assert IdempotencyKey(example["scope"], example["key"]).order_id == UUID(example["order_id"])


@pytest.mark.parametrize("example", examples("fingerprints"))
async def test_a_request_has_the_same_fingerprint_in_every_release(example: Mapping[str, str]) -> None:
    """Otherwise a retry after an upgrade would be refused as a different request."""
    async with Quart(__name__).test_request_context(example["path"], method=example["method"]):
        assert _fingerprint(example["body"].encode()) == example["fingerprint"]


class _More(TypedDict, total=False):
    """What else an order may be searched for by."""

    external_id: str
    email: str
    product_ids: frozenset[int]
    placed_after: datetime
    placed_before: datetime
    total_min: int
    total_max: int


@pytest.mark.parametrize("example", examples("cursors"))
def test_a_cursor_leads_to_the_same_place_in_every_release(example: Mapping[str, Any]) -> None:
    cursors = Cursors(bytes.fromhex(example["secret"]))
    if "product" in example:
        assert cursors.of_products().start(example["cursor"]) == example["product"]
        assert cursors.of_products().after(ProductId(example["product"])) == example["cursor"]
        return
    wanted = OrderFilter(
        user_id=None if example["user_id"] is None else customer_id(example["user_id"]),
        statuses=frozenset() if example["status"] is None else frozenset({OrderStatus(example["status"])}),
        **convert(example.get("more", {}), _More),
    )
    order_id = OrderId(UUID(example["order"]))
    assert cursors.of_orders(wanted).start(example["cursor"]) == order_id
    assert cursors.of_orders(wanted).after(order_id) == example["cursor"]


@pytest.mark.parametrize("example", examples("dead_letters"))
def test_a_message_that_was_set_aside_is_read_for_good(example: Mapping[str, Any]) -> None:
    received = Received(example["body"].encode(), "order.paid", example["headers"])
    expected = example["means"]
    assert _dead_message(received, datetime(2027, 1, 1, tzinfo=UTC)) == DeadMessage(
        body=example["body"].encode(),
        reason=expected["reason"],
        attempts=expected["attempts"],
        first_at=datetime.fromisoformat(expected["first_at"]),
        last_at=datetime.fromisoformat(expected["last_at"]),
    )


def test_a_message_that_is_set_aside_today_has_the_known_headers() -> None:
    [written] = [example["headers"] for example in examples("dead_letters") if "written" in example]
    before = {"event-id": written["event-id"], "first-at": written["first-at"]}
    receipt: Any = Receipt(None, 1, Received(b"", "order.paid", before))  # type: ignore[arg-type]
    headers = _headers(receipt, written["reason"]) | {"attempts": written["attempts"]}
    assert datetime.now(UTC) - datetime.fromisoformat(headers["last-at"]) < timedelta(hours=1)
    assert headers | {"last-at": written["last-at"]} == written
