"""What RecentOrders promises, on every adapter of it; then what Redis promises alone."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from attrs import fields as attrs_fields
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from adapters.memory.caches import MemoryRecentOrders
from adapters.redis.client import open_redis
from adapters.redis.recent_orders import SHAPE, RedisRecentOrders
from application.errors import Unavailable
from application.ports.caching import RecentOrders
from domain.ids import OrderId, PaymentId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.builders import LATER, NOW, PAYMENT, a_line, an_order, order_in


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as client:
        yield client


@asynccontextmanager
async def a_process(redis_url: str, namespace: str, *, settle: float = 0) -> AsyncIterator[RedisRecentOrders]:
    """The recent orders of one process, with a timeout that a loaded machine does not exceed."""
    async with open_redis(redis_url, timeout=5) as redis:
        yield RedisRecentOrders(redis, namespace, ttl=60, settle=settle)


@pytest.fixture
async def in_redis(redis_url: str, namespace: str) -> AsyncIterator[RedisRecentOrders]:
    async with a_process(redis_url, namespace) as orders:
        yield orders


@pytest.fixture(params=["memory", "redis"])
def recent(request: pytest.FixtureRequest) -> RecentOrders:
    if request.param == "memory":
        return MemoryRecentOrders()
    orders: RecentOrders = request.getfixturevalue("in_redis")
    return orders


def a_new_order() -> Order:
    return evolve(an_order(), id=OrderId(uuid7()))


def at_version(order: Order, version: int) -> Order:
    return evolve(order, version=version, updated_at=order.created_at + timedelta(seconds=version))


async def kept(recent: RecentOrders, order: Order) -> Order | None:
    return (await recent.get_many([order.id])).get(order.id)


async def test_an_event_before_the_first_version_invalidates_nothing(recent: RecentOrders) -> None:
    known, unknown = a_new_order(), a_new_order()
    await recent.put_many([known])
    await recent.invalidate_below({known.id: 0, unknown.id: 0})
    await recent.put_many([unknown])
    assert await recent.get_many({known.id, unknown.id}) == {known.id: known, unknown.id: unknown}


async def test_an_order_that_was_put_is_found(recent: RecentOrders) -> None:
    orders = [a_new_order() for _ in range(3)]
    await recent.put_many(orders)
    assert await recent.get_many({order.id for order in orders}) == {order.id: order for order in orders}


async def test_an_unknown_order_is_missing_and_the_known_beside_it_is_not(recent: RecentOrders) -> None:
    order = a_new_order()
    await recent.put_many([order])
    assert await recent.get_many([OrderId(uuid7()), order.id]) == {order.id: order}


async def test_nothing_is_put_and_nothing_found_for_no_orders(recent: RecentOrders) -> None:
    await recent.put_many([])
    assert await recent.get_many([]) == {}


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_in_any_status_is_found_as_it_was_put(recent: RecentOrders, status: OrderStatus) -> None:
    order = evolve(order_in(status)[0], id=OrderId(uuid7()))
    await recent.put_many([order])
    assert await kept(recent, order) == order


async def test_an_order_with_every_field_filled_is_found_as_it_was_put(recent: RecentOrders) -> None:
    order = an_order(*(a_line(number, quantity=number, price=2**40, currency="JPY") for number in range(1, 101)))
    order = evolve(order, id=OrderId(uuid7()), updated_at=NOW + timedelta(microseconds=1))
    order.request_payment(PaymentId(UUID(int=2**128 - 1)), at=LATER)
    await recent.put_many([order])
    assert await kept(recent, order) == order


async def test_a_newer_version_replaces_an_older_one(recent: RecentOrders) -> None:
    order = a_new_order()
    await recent.put_many([order])
    await recent.put_many([at_version(order, 2)])
    assert await kept(recent, order) == at_version(order, 2)


async def scanned(recent: RecentOrders) -> dict[OrderId, Order]:
    found: dict[OrderId, Order] = {}
    cursor = 0
    while True:
        cursor, orders = await recent.scan(cursor)
        found |= {order.id: order for order in orders}
        if not cursor:
            return found


async def test_a_scan_finds_every_order_that_is_here_and_nothing_else(recent: RecentOrders) -> None:
    accepted, placed, invalid = [[a_new_order() for _ in range(count)] for count in (700, 700, 3)]
    await recent.put_many([*placed, *invalid])
    await recent.put_accepted(accepted)
    await recent.invalidate_below({order.id: 9 for order in invalid})
    assert await scanned(recent) == {order.id: order for order in (*accepted, *placed)}


async def test_a_scan_of_nothing_finds_nothing(recent: RecentOrders) -> None:
    assert await scanned(recent) == {}


async def test_an_accepted_order_is_found_like_any_other(recent: RecentOrders) -> None:
    order = a_new_order()
    await recent.put_accepted([order])
    assert await kept(recent, order) == order
    await recent.put_many([at_version(order, order.version + 1)])
    await recent.put_accepted([order])
    assert await kept(recent, order) == at_version(order, order.version + 1)


async def test_an_accepted_order_is_kept_until_it_is_recorded(
    in_redis: RedisRecentOrders, raw: Any, namespace: str
) -> None:
    order = a_new_order()
    await in_redis.put_accepted([order])
    assert await raw.ttl(f"{namespace}:order:{order.id}") > 3600
    await in_redis.put_many([order])
    assert await raw.ttl(f"{namespace}:order:{order.id}") < 3600


async def test_an_accepted_order_is_asked_for_by_its_id(recent: RecentOrders) -> None:
    accepted, unknown = a_new_order(), a_new_order()
    await recent.put_accepted([accepted])
    assert await recent.get_accepted({accepted.id, unknown.id}) == {accepted.id: accepted}
    assert await recent.get_accepted(set()) == {}


async def test_an_accepted_order_is_still_known_after_a_failover(
    in_redis: RedisRecentOrders, raw: Any, namespace: str
) -> None:
    """It waits in the queue, and comes from no database that could have been set back."""
    accepted, read = a_new_order(), a_new_order()
    await in_redis.put_accepted([accepted])
    await in_redis.put_many([read])
    await raw.delete(f"{namespace}:generation")
    assert await kept(in_redis, accepted) is None
    assert await in_redis.get_accepted({accepted.id, read.id}) == {accepted.id: accepted}


async def test_an_order_that_is_accepted_right_after_a_failover_is_known(
    redis_url: str, namespace: str, raw: Any
) -> None:
    async with a_process(redis_url, namespace) as first, a_process(redis_url, namespace, settle=600) as second:
        await first.put_many([a_new_order()])
        await second.put_many([a_new_order()])
        await raw.delete(f"{namespace}:generation")
        await first.put_many([a_new_order()])
        order = a_new_order()
        await second.put_accepted([order])
        assert await kept(first, order) is None
        assert await first.get_accepted({order.id}) == {order.id: order}


async def test_a_scan_finds_what_another_epoch_has_left(in_redis: RedisRecentOrders, raw: Any, namespace: str) -> None:
    order = a_new_order()
    await in_redis.put_accepted([order])
    await raw.delete(f"{namespace}:generation")
    assert await kept(in_redis, order) is None
    assert await scanned(in_redis) == {order.id: order}


async def test_a_scan_that_gets_no_answer_says_so() -> None:
    async with open_redis("redis://127.0.0.1:1/0") as redis:
        with pytest.raises(Unavailable, match="Redis does not answer"):
            await RedisRecentOrders(redis).scan(0)


async def test_without_an_answer_it_is_not_told_which_orders_were_accepted() -> None:
    async with open_redis("redis://127.0.0.1:1/0") as redis:
        orders = RedisRecentOrders(redis)
        with pytest.raises(Unavailable, match="Redis does not answer"):
            await orders.get_accepted({an_order().id})
        assert await orders.get_accepted(set()) == {}


@pytest.mark.parametrize("older", [2, 9])
async def test_an_older_version_never_replaces_a_newer_one(recent: RecentOrders, older: int) -> None:
    order = a_new_order()
    await recent.put_many([at_version(order, 10)])
    await recent.put_many([at_version(order, older)])
    assert await kept(recent, order) == at_version(order, 10)


async def test_the_newest_of_one_call_is_kept(recent: RecentOrders) -> None:
    order = a_new_order()
    await recent.put_many([at_version(order, version) for version in (3, 11, 5)])
    assert await kept(recent, order) == at_version(order, 11)


async def test_two_hundred_interleaved_puts_end_in_the_newest_versions(recent: RecentOrders) -> None:
    orders = [a_new_order() for _ in range(4)]
    puts = [at_version(order, version) for order in orders for version in range(1, 51)]
    random.Random(7).shuffle(puts)
    seen: dict[OrderId, int] = {}
    # An order that is put before the first epoch has begun may be invalidated when it begins.
    await recent.get_many([orders[0].id])

    async def watch() -> None:
        for _ in range(50):
            for id_, order in (await recent.get_many([order.id for order in orders])).items():
                assert order.version >= seen.get(id_, 0)
                seen[id_] = order.version
            await asyncio.sleep(0)

    await asyncio.gather(watch(), *(recent.put_many([order]) for order in puts))
    newest = await recent.get_many([order.id for order in orders])
    assert newest == {order.id: at_version(order, 50) for order in orders}


async def test_a_deleted_order_stays_deleted(recent: RecentOrders) -> None:
    order = a_new_order()
    deleted = evolve(order)
    deleted.delete(at=LATER)
    await recent.put_many([deleted])
    await recent.put_many([order])
    assert await kept(recent, order) == deleted


@pytest.mark.parametrize(("version", "is_kept"), [(1, True), (2, True), (3, False)])
async def test_what_is_older_than_a_known_version_is_invalidated(
    recent: RecentOrders, version: int, *, is_kept: bool
) -> None:
    order = at_version(a_new_order(), 2)
    await recent.put_many([order])
    await recent.invalidate_below({order.id: version})
    assert await kept(recent, order) == (order if is_kept else None)


async def test_the_version_of_an_invalidation_is_kept_when_it_is_put(recent: RecentOrders) -> None:
    order = a_new_order()
    await recent.put_many([at_version(order, 1)])
    await recent.invalidate_below({order.id: 2})
    await recent.put_many([at_version(order, 2)])
    assert await kept(recent, order) == at_version(order, 2)


async def test_an_order_read_before_its_invalidation_is_not_kept_after_it(recent: RecentOrders) -> None:
    order = a_new_order()
    read_before = at_version(order, 1)
    await recent.invalidate_below({order.id: 2})
    await recent.put_many([read_before])
    assert await kept(recent, order) is None


async def test_what_a_caller_does_with_an_order_changes_nothing_that_is_kept(recent: RecentOrders) -> None:
    order = a_new_order()
    await recent.put_many([order])
    found = await kept(recent, order)
    assert found is not None
    found.request_payment(PAYMENT, at=LATER)
    order.cancel(at=LATER)
    assert (await recent.get_many([order.id]))[order.id].status is OrderStatus.PENDING


async def test_in_memory_orders_and_their_lines_are_bounded_together() -> None:
    recent = MemoryRecentOrders(max_size=50)
    small = [a_new_order() for _ in range(100)]
    await recent.put_many(small)
    assert [id_ for order in small for id_ in await recent.get_many([order.id])] == [order.id for order in small[-25:]]
    large = evolve(an_order(*(a_line(number) for number in range(1, 41))), id=OrderId(uuid7()))
    await recent.put_many([large])
    assert await kept(recent, large) == large
    assert len(await recent.get_many([order.id for order in small])) == 4
    # Versions without an order count as well.
    await recent.invalidate_below({OrderId(uuid7()): 2 for _ in range(100)})
    assert await kept(recent, large) is None
    await recent.put_many(small)
    assert len(await recent.get_many([order.id for order in small])) == 25


async def test_two_processes_see_one_order(redis_url: str, namespace: str, in_redis: RedisRecentOrders) -> None:
    order = a_new_order()
    async with a_process(redis_url, namespace) as another:
        await in_redis.put_many([order])
        assert await kept(another, order) == order
        await another.put_many([at_version(order, 2)])
    assert await kept(in_redis, order) == at_version(order, 2)


async def test_two_processes_that_begin_at_once_agree(redis_url: str, namespace: str) -> None:
    order = a_new_order()
    async with a_process(redis_url, namespace) as one, a_process(redis_url, namespace) as another:
        await asyncio.gather(kept(one, order), kept(another, order))
        await asyncio.gather(one.put_many([at_version(order, 2)]), another.put_many([order]))
        assert await kept(another, order) in (None, at_version(order, 2))
        await one.put_many([at_version(order, 2)])
        assert await kept(another, order) == at_version(order, 2)


async def test_an_order_kept_by_another_release_is_kept_anew(
    raw: Any, namespace: str, in_redis: RedisRecentOrders
) -> None:
    order = a_new_order()
    await in_redis.put_many([order])
    key = f"{namespace}:order:{order.id}"
    await raw.set(key, (await raw.get(key)).replace(b"1{", b"0{", 1))
    await in_redis.put_many([order])
    assert await kept(in_redis, order) == order


async def test_namespaces_do_not_see_each_other(redis_url: str, in_redis: RedisRecentOrders) -> None:
    order = a_new_order()
    await in_redis.put_many([order])
    async with a_process(redis_url, f"test:{secrets.token_hex(8)}") as another:
        assert await kept(another, order) is None


async def test_everything_that_is_kept_ends_by_itself(raw: Any, namespace: str, in_redis: RedisRecentOrders) -> None:
    orders = [a_new_order() for _ in range(20)]
    await in_redis.put_many(orders)
    keys = [key async for key in raw.scan_iter(f"{namespace}:*")]
    ends = {key: await raw.pttl(key) for key in keys}
    assert len(ends) == 21
    assert all(end > 0 for end in ends.values())
    of_orders = [end for key, end in ends.items() if b":order:" in key]
    assert max(of_orders) <= 120_000
    # Not all at once.
    assert len(set(of_orders)) > 10


async def test_an_accepted_order_can_be_read_for_as_long_as_it_is_kept(
    raw: Any, namespace: str, in_redis: RedisRecentOrders
) -> None:
    """Nothing is read in an epoch that has ended, and while the database is away nobody prolongs it."""
    await in_redis.put_accepted([a_new_order()])
    ends = {key: await raw.pttl(key) async for key in raw.scan_iter(f"{namespace}:*")}
    assert len(ends) == 3
    assert ends[f"{namespace}:generation".encode()] == max(ends.values())
    assert min(ends.values()) > 3_600_000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"\xff" * 200,
        lambda entry: entry[:60],
        lambda entry: entry[:-1],
        lambda entry: entry.replace(b"PENDING", b"GONE"),
        lambda entry: entry.replace(b'"minor":2500', b'"minor":2501'),
        lambda entry: entry.replace(b'"currency"', b'"money"'),
        # The shape of another release.
        lambda entry: entry.replace(SHAPE + b"{", b"1{", 1),
        lambda entry: entry[: entry.index(b"{")] + b"[" * 100_000,
    ],
)
async def test_an_entry_that_cannot_be_read_is_missing(
    raw: Any, namespace: str, in_redis: RedisRecentOrders, spoil: Callable[[bytes], bytes]
) -> None:
    order = a_new_order()
    await in_redis.put_many([order])
    key = f"{namespace}:order:{order.id}"
    await raw.set(key, spoil(await raw.get(key)), px=60_000)
    assert await kept(in_redis, order) is None
    await in_redis.put_many([at_version(order, 2)])
    assert await kept(in_redis, order) == at_version(order, 2)


async def test_an_entry_of_another_kind_or_order_is_missing(
    raw: Any, namespace: str, in_redis: RedisRecentOrders
) -> None:
    order, another = a_new_order(), a_new_order()
    await in_redis.put_many([order, another])
    await raw.copy(f"{namespace}:order:{another.id}", f"{namespace}:order:{order.id}", replace=True)
    assert await kept(in_redis, order) is None
    await raw.delete(f"{namespace}:order:{order.id}")
    await raw.rpush(f"{namespace}:order:{order.id}", "a list")
    assert await kept(in_redis, order) is None
    await in_redis.put_many([order])
    assert await kept(in_redis, order) == order


async def test_an_order_read_before_an_invalidation_is_not_kept_after_it(
    raw: Any, namespace: str, redis_url: str, in_redis: RedisRecentOrders
) -> None:
    order = a_new_order()
    # A slow process reads it. Meanwhile another commits version 2, fails to write it to Redis, and begins a new epoch.
    assert await kept(in_redis, order) is None
    await raw.delete(f"{namespace}:generation")
    await in_redis.put_many([order])
    async with a_process(redis_url, namespace) as another:
        assert await kept(another, order) is None
        # From here on the database answers, and its answer is cached.
        await another.put_many([at_version(order, 2)])
        assert await kept(another, order) == at_version(order, 2)
    await in_redis.put_many([order])
    assert await kept(in_redis, order) == at_version(order, 2)


async def test_an_order_put_late_keeps_older_ones_out(raw: Any, namespace: str, in_redis: RedisRecentOrders) -> None:
    order = a_new_order()
    await in_redis.put_many([order])
    await raw.delete(f"{namespace}:generation")
    await in_redis.put_many([at_version(order, 3)])
    await in_redis.put_many([at_version(order, 2)])
    assert await kept(in_redis, order) is None
    await in_redis.put_many([at_version(order, 3)])
    assert await kept(in_redis, order) == at_version(order, 3)


async def test_an_epoch_just_learned_is_not_trusted_yet(raw: Any, namespace: str, redis_url: str) -> None:
    """Another task of the slow process may have learned the new epoch after the slow one had read the database."""
    order, now = a_new_order(), [0.0]
    async with open_redis(redis_url, timeout=5) as redis:
        slow = RedisRecentOrders(redis, namespace, settle=5, time=lambda: now[0])
        await slow.get_many([order.id])
        await raw.delete(f"{namespace}:generation")
        await slow.get_many([OrderId(uuid7())])
        now[0] = 4.9
        await slow.put_many([order])
        assert await kept(slow, order) is None
        now[0] = 5.1
        await slow.put_many([order])
        assert await kept(slow, order) == order


async def test_an_epoch_of_an_earlier_run_of_the_server_has_ended(
    raw: Any, namespace: str, in_redis: RedisRecentOrders
) -> None:
    """A server may be restarted from an old snapshot between two calls without any process noticing."""
    order = a_new_order()
    await in_redis.put_many([order])
    epoch = await raw.get(f"{namespace}:generation")
    earlier = b"0" * 12 + epoch[12:]
    entry = await raw.get(f"{namespace}:order:{order.id}")
    await raw.set(f"{namespace}:generation", earlier)
    await raw.set(f"{namespace}:order:{order.id}", entry.replace(epoch, earlier))
    assert await kept(in_redis, order) is None
    await in_redis.put_many([at_version(order, 2)])
    assert await kept(in_redis, order) == at_version(order, 2)


async def test_after_everything_was_flushed_orders_are_kept_again(
    raw: Any, namespace: str, in_redis: RedisRecentOrders
) -> None:
    order = a_new_order()
    await in_redis.put_many([order])
    await raw.delete(*[key async for key in raw.scan_iter(f"{namespace}:*")])
    assert await kept(in_redis, order) is None
    await in_redis.put_many([order])
    assert await kept(in_redis, order) == order


async def test_a_change_of_the_fields_of_an_order_asks_for_a_new_shape() -> None:
    """When this fails, give SHAPE in adapters/redis/recent_orders.py the next digit, and list the fields anew."""
    fields = {field.name for field in attrs_fields(Order)}
    assert fields == {
        *("id", "user_id", "lines", "total", "status", "failure_reason", "payment_id", "holds_stock"),
        *("refund_requested", "deleted", "out_of_stock", "details", "version", "created_at", "updated_at"),
    }
