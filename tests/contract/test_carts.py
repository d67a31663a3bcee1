"""What Carts promises, on every adapter of it; then what each promises alone."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from adapters.memory.carts import MemoryCarts, NoCarts
from adapters.redis.carts import RedisCarts
from adapters.redis.client import open_redis
from application.errors import Unavailable
from application.ports.carts import CART_TTL, Carts, CartsUnsupported
from domain.cart import Cart, CartItem
from domain.errors import InvalidCart
from domain.ids import CustomerId, ProductId, UserId, UserName
from domain.money import MAX_MINOR, Money

ADA, BEA = UserId(1), UserName("auth0|béa:1")


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
async def in_redis(redis_url: str, namespace: str) -> AsyncIterator[RedisCarts]:
    async with open_redis(redis_url, timeout=5) as redis:
        yield RedisCarts(redis, namespace)
        await redis.write("DEL", *(f"{namespace}:cart:{owner}" for owner in (ADA, BEA)))


@pytest.fixture(params=["memory", "redis"])
def carts(request: pytest.FixtureRequest) -> Carts:
    if request.param == "memory":
        return MemoryCarts()
    in_redis: Carts = request.getfixturevalue("in_redis")
    return in_redis


def item(number: int, quantity: int = 1, price: int = 100) -> CartItem:
    return CartItem(product_id=ProductId(number), quantity=quantity, unit_price=Money(price, "EUR"))


def putting(*items: CartItem) -> Callable[[Cart], Cart]:
    def put(cart: Cart) -> Cart:
        for each in items:
            cart = cart.put(each)
        return cart

    return put


async def quantities(carts: Carts, owner: CustomerId = ADA) -> dict[int, int]:
    return {each.product_id: each.quantity for each in (await carts.get(owner)).items}


async def test_a_cart_is_read_as_it_was_changed(carts: Carts) -> None:
    assert await carts.get(ADA) == Cart()
    changed = await carts.change(ADA, putting(item(1, 2), item(2**63 - 1, 10**6, MAX_MINOR)))
    begun = await carts.change(ADA, lambda cart: cart.check_out('a "key"'))
    assert changed.items == begun.items
    assert await carts.get(ADA) == begun


async def test_each_customer_has_a_cart_of_her_own(carts: Carts) -> None:
    await carts.change(ADA, putting(item(1)))
    await carts.change(BEA, putting(item(2)))
    await carts.change(ADA, Cart.emptied)
    assert (await quantities(carts), await quantities(carts, BEA)) == ({}, {2: 1})


async def test_a_change_that_is_refused_changes_nothing(carts: Carts) -> None:
    await carts.change(ADA, putting(item(1)))
    with pytest.raises(InvalidCart):
        await carts.change(ADA, putting(item(2), item(3, 10**6 + 1)))
    assert await quantities(carts) == {1: 1}


async def test_no_change_is_lost_when_many_are_made_at_once(carts: Carts) -> None:
    def one_more(cart: Cart) -> Cart:
        known = {each.product_id: each.quantity for each in cart.items}
        return cart.put(item(1, known.get(ProductId(1), 0) + 1))

    others = [carts.change(ADA, putting(item(number))) for number in range(2, 8)]
    await asyncio.gather(*(carts.change(ADA, one_more) for _ in range(12)), *others)
    assert await quantities(carts) == {1: 12} | dict.fromkeys(range(2, 8), 1)


async def test_of_two_who_order_at_once_one_begins(carts: Carts) -> None:
    await carts.change(ADA, putting(item(1)))
    keys = [str(number) for number in range(8)]
    begun = await asyncio.gather(*(carts.change(ADA, lambda cart, key=key: cart.check_out(key)) for key in keys))
    assert len({cart.unsettled for cart in begun}) == 1
    assert len((await carts.get(ADA)).checkouts) == 1


async def test_in_memory_a_cart_ends_a_month_after_its_last_use() -> None:
    now = 0.0
    carts = MemoryCarts(time=lambda: now)
    await carts.change(ADA, putting(item(1)))
    for _ in range(3):
        now += CART_TTL - 1
        assert await quantities(carts) == {1: 1}
    now += CART_TTL + 1
    assert await quantities(carts) == {}


async def test_in_memory_the_carts_that_were_used_last_are_kept() -> None:
    carts = MemoryCarts(max_carts=3)
    for number in range(1, 6):
        await carts.change(UserId(number), putting(item(number)))
        await carts.get(UserId(1))
    assert [bool(await quantities(carts, UserId(number))) for number in range(1, 6)] == [True, False, False, True, True]


async def test_in_redis_a_cart_ends_a_month_after_its_last_use(
    redis_url: str, namespace: str, in_redis: RedisCarts
) -> None:
    await in_redis.change(ADA, putting(item(1)))
    async with Redis.from_url(redis_url) as raw:
        key = f"{namespace}:cart:1"
        assert CART_TTL - 60 < await raw.ttl(key) <= CART_TTL
        await raw.expire(key, 100)
        await in_redis.get(ADA)
        assert CART_TTL - 60 < await raw.ttl(key) <= CART_TTL


PEN = b'{"product_id":7,"quantity":2,"unit_price":{"minor":1249,"currency":"EUR"}}'
OPEN = b'{"key":"%b","items":[' + PEN + b'],"settled":false}'


@pytest.mark.parametrize(
    "spoil",
    [
        b"",
        b"9{}",
        b"1",
        b"1{",
        b'1{"items":[{"product_id":0}]}',
        b"1" + b"[" * 100_000,
        # The same product twice, in the cart and in what was ordered.
        b'1{"items":[' + PEN + b"," + PEN + b'],"checkouts":[]}',
        b'1{"items":[],"checkouts":[' + OPEN.replace(PEN, PEN + b"," + PEN) % b"a" + b"]}",
        # Two checkouts that are not settled, or have one key.
        b'1{"items":[],"checkouts":[' + OPEN % b"a" + b"," + OPEN % b"b" + b"]}",
        b'1{"items":[],"checkouts":[' + OPEN.replace(b"false", b"true") % b"a" + b"," + OPEN % b"a" + b"]}",
    ],
)
async def test_what_this_release_can_not_read_is_no_cart(
    redis_url: str, namespace: str, in_redis: RedisCarts, spoil: bytes
) -> None:
    async with Redis.from_url(redis_url) as raw:
        await raw.set(f"{namespace}:cart:1", spoil)
    assert await in_redis.get(ADA) == Cart()
    await in_redis.change(ADA, putting(item(1)))
    assert await quantities(in_redis) == {1: 1}


async def test_without_redis_there_is_an_error_and_no_empty_cart() -> None:
    async with open_redis("redis://127.0.0.1:1/0", timeout=0.1, connect_timeout=0.1) as redis:
        carts = RedisCarts(redis)
        with pytest.raises(Unavailable):
            await carts.get(ADA)
        with pytest.raises(Unavailable):
            await carts.change(ADA, putting(item(1)))


async def test_where_nothing_keeps_carts_that_is_said() -> None:
    with pytest.raises(CartsUnsupported, match="REDIS_URL"):
        await NoCarts().get(ADA)
    with pytest.raises(CartsUnsupported, match="REDIS_URL"):
        await NoCarts().change(ADA, Cart.emptied)
