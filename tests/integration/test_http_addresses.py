"""The raw path decides: a resource has one address, and no other spelling of it does anything."""

from collections.abc import AsyncIterator

import pytest

from application.access.principal import SYSTEM
from domain.orders.status import OrderStatus
from tests.http.browser import app_over
from tests.sockets import GET_LIVE, ORDER, Site, running
from tests.unit.shop import Shop


@pytest.fixture
async def shop() -> Shop:
    shop = Shop()
    await shop.sells()
    return shop


@pytest.fixture
async def site(shop: Shop) -> AsyncIterator[Site]:
    async with running(app_over(shop.use_cases)) as site:
        yield site


async def status_of(site: Site, method: str, target: str, body: bytes = b"") -> int:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    async with site.connection() as connection:
        await connection.send(head.encode() + b"\r\n" + body + GET_LIVE)
        answer = await connection.answer()
        assert (await connection.answer()).status == 200
        return answer.status


@pytest.mark.parametrize(
    "target",
    [
        "//orders",
        "///orders",
        "//shop/orders",
        "/v1//orders",
        "/v1///orders",
        "//v1/orders",
        "/v1/v1/orders",
        "/v1/%2Forders",
        "/orders/",
        "/orders//",
        "/./orders",
        "/orders/.",
        "/products/../orders",
        "/%2e/orders",
        "/%6frders",
        "/order%73",
        "/%2Forders",
        "/orders%2F",
        "/orders%00",
        "/orders%20",
        "/orders;v=1",
        "/Orders",
        "\\orders",
        "/\\orders",
        "http://shop//orders",
        "http://shop/%6frders",
        "http://shop/orders/",
    ],
)
async def test_orders_are_placed_at_one_address(shop: Shop, site: Site, target: str) -> None:
    async with site.connection() as connection:
        head = f"POST {target} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n".encode()
        await connection.send(head + b"Content-Length: %d\r\n\r\n" % len(ORDER) + ORDER)
        assert (await connection.answer()).status in {400, 404, 405}
    assert await shop.use_cases.list_orders(SYSTEM, limit=1) == []


@pytest.mark.parametrize("form", ["/orders", "http://shop/orders", "http://another.example:81/orders"])
async def test_a_request_target_may_be_written_as_proxies_write_it(shop: Shop, site: Site, form: str) -> None:
    # RFC 9112, section 3.2.2: a server must accept the absolute form.
    assert await status_of(site, "POST", form, ORDER) == 201
    assert len(await shop.use_cases.list_orders(SYSTEM, limit=9)) == 1


@pytest.mark.parametrize(
    "spelling",
    [
        "//orders/{id}",
        "/v1//orders/{id}",
        "/orders//{id}",
        "/orders/{id}/",
        "/orders/./{id}",
        "/orders/x/../{id}",
        "/orders/%2e/{id}",
        "/orders/{id}%20",
        "/orders/{encoded}",
        "/orders%2F{id}",
        "/orders/{id};x",
        "/orders/{upper}",
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        ("GET", "", b""),
        ("DELETE", "", b""),
        ("POST", "/pay", b""),
        ("PATCH", "/status", b'{"status":"CANCELLED"}'),
        ("GET", "/events", b""),
    ],
)
async def test_an_order_has_one_address(shop: Shop, site: Site, spelling: str, call: tuple[str, str, bytes]) -> None:
    method, below, body = call
    pen = await shop.sells()
    # An id with a letter can be written in upper case.
    while str((order := await shop.order((pen, 1))).id).upper() == str(order.id):
        pass
    text = str(order.id)
    path = spelling.format(id=text, encoded=f"%{ord(text[0]):x}{text[1:]}", upper=text.upper())
    assert await status_of(site, method, path + below, body) == 404
    assert (await shop.use_cases.get_order(SYSTEM, order.id)).status is OrderStatus.PENDING


async def test_a_health_check_has_one_address(site: Site) -> None:
    for target in ("//health/live", "/%68ealth/live", "/health//live", "/health/live/"):
        assert await status_of(site, "GET", target) == 404
