"""What AcceptedChanges promises, on every adapter of it."""

import secrets
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from adapters.codecs.events import encode
from adapters.memory.accepted_changes import MemoryAcceptedChanges, SharedAcceptedChanges
from adapters.redis.accepted_changes import RedisAcceptedChanges
from adapters.redis.client import open_redis
from application.errors import Unavailable
from application.ports.caching import AcceptedChanges
from domain.ids import JobId, OrderId
from domain.orders.events import OrderChangeAccepted
from tests.unit.builders import NOW, an_order


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
async def in_redis(redis_url: str, namespace: str) -> AsyncIterator[RedisAcceptedChanges]:
    async with open_redis(redis_url, timeout=5) as redis:
        yield RedisAcceptedChanges(redis, namespace, ttl=60)


@pytest.fixture(params=["memory", "redis", "shared"])
def changes(request: pytest.FixtureRequest) -> AcceptedChanges:
    if request.param == "memory":
        return MemoryAcceptedChanges()
    in_redis: RedisAcceptedChanges = request.getfixturevalue("in_redis")
    return SharedAcceptedChanges(in_redis) if request.param == "shared" else in_redis


def a_change(order_id: OrderId) -> OrderChangeAccepted:
    return OrderChangeAccepted(
        order_id=order_id, at=NOW, job_id=JobId(uuid4()), asked='{"change":"cancel"}', signature="0af1"
    )


def an_order_id() -> OrderId:
    return OrderId(uuid4())


async def test_the_changes_of_an_order_are_known_in_their_sequence(changes: AcceptedChanges) -> None:
    one, other = an_order_id(), an_order_id()
    first, second, third, elsewhere = a_change(one), a_change(one), a_change(one), a_change(other)
    await changes.put_many([first, elsewhere, second])
    await changes.put_many([third])
    wanted = {one, other, an_order_id()}
    assert await changes.of_orders(wanted) == {
        one: [first.job_id, second.job_id, third.job_id],
        other: [elsewhere.job_id],
    }
    assert await changes.get(second.job_id) == second
    assert await changes.get(JobId(uuid4())) is None


async def test_one_that_is_put_twice_is_known_once(changes: AcceptedChanges) -> None:
    order_id = an_order_id()
    first, second = a_change(order_id), a_change(order_id)
    await changes.put_many([first, second])
    await changes.put_many([first])
    assert await changes.of_orders({order_id}) == {order_id: [first.job_id, second.job_id]}


async def test_what_is_recorded_is_forgotten(changes: AcceptedChanges) -> None:
    order_id = an_order_id()
    first, second = a_change(order_id), a_change(order_id)
    await changes.put_many([first, second])
    await changes.forget({order_id: [first.job_id]})
    assert await changes.of_orders({order_id}) == {order_id: [second.job_id]}
    assert await changes.get(first.job_id) is None
    await changes.forget({order_id: [first.job_id, second.job_id], an_order_id(): [JobId(uuid4())]})
    assert await changes.of_orders({order_id}) == {}


async def test_all_of_them_can_be_looked_through(changes: AcceptedChanges) -> None:
    put = [a_change(an_order_id()) for _ in range(30)]
    await changes.put_many(put)
    found: dict[JobId, OrderChangeAccepted] = {}
    cursor = 0
    while True:
        cursor, page = await changes.scan(cursor)
        found |= {change.job_id: change for change in page}
        if not cursor:
            break
    assert found == {change.job_id: change for change in put}


async def test_nothing_to_do_is_no_trouble(changes: AcceptedChanges) -> None:
    await changes.put_many([])
    await changes.forget({})
    assert await changes.of_orders(set()) == {}


async def test_memory_forgets_the_oldest_when_it_is_full() -> None:
    changes, order_id = MemoryAcceptedChanges(most=2), an_order_id()
    put = [a_change(order_id) for _ in range(3)]
    await changes.put_many(put)
    assert await changes.of_orders({order_id}) == {order_id: [each.job_id for each in put[1:]]}


async def test_another_process_knows_what_one_has_accepted(redis_url: str, namespace: str) -> None:
    change = a_change(an_order_id())
    async with open_redis(redis_url, timeout=5) as one, open_redis(redis_url, timeout=5) as other:
        await SharedAcceptedChanges(RedisAcceptedChanges(one, namespace, ttl=60)).put_many([change])
        there = SharedAcceptedChanges(RedisAcceptedChanges(other, namespace, ttl=60))
        assert await there.of_orders({change.order_id}) == {change.order_id: [change.job_id]}
        assert await there.get(change.job_id) == change


async def test_without_redis_a_process_knows_its_own() -> None:
    change = a_change(an_order_id())
    async with open_redis("redis://127.0.0.1:1", timeout=0.1) as redis:
        changes = SharedAcceptedChanges(RedisAcceptedChanges(redis))
        await changes.put_many([change])
        assert await changes.of_orders({change.order_id}) == {change.order_id: [change.job_id]}
        assert await changes.get(change.job_id) == change
        with pytest.raises(Unavailable):
            await changes.scan(0)
        await changes.forget({change.order_id: [change.job_id]})
        assert await changes.of_orders({change.order_id}) == {}


async def test_what_a_later_release_has_put_is_no_error(
    in_redis: RedisAcceptedChanges, redis_url: str, namespace: str
) -> None:
    change = a_change(an_order_id())
    await in_redis.put_many([change])
    async with Redis.from_url(redis_url) as raw:
        for body in (b"{}", b"\xff", encode(an_order_placed())):
            await raw.set(f"{namespace}:change:{change.job_id}", body, ex=60)
            assert await in_redis.get(change.job_id) is None


def an_order_placed() -> OrderChangeAccepted:
    """A change under the key of another one."""
    return a_change(OrderId(an_order().id))


async def test_a_process_forgets_them_in_time() -> None:
    """The jobs that they became are removed after some days. They must not look as if they were still to come."""
    elapsed = 0.0
    changes, order_id = MemoryAcceptedChanges(ttl=60, time=lambda: elapsed), an_order_id()
    first, second = a_change(order_id), a_change(order_id)
    await changes.put_many([first])
    elapsed = 59.0
    await changes.put_many([first, second])
    assert await changes.of_orders([order_id]) == {order_id: [first.job_id, second.job_id]}
    elapsed = 60.0
    assert await changes.of_orders([order_id]) == {order_id: [second.job_id]}
    assert await changes.get(first.job_id) is None
    elapsed = 119.0
    assert await changes.scan(0) == (0, [])
    assert await changes.of_orders([order_id]) == {}
