"""What is done in the console, without a browser: each act once, and not with what has changed since it was shown."""

import pytest

from application.access.principal import SYSTEM
from domain.orders.status import OrderStatus
from tests.http.test_console import NOWHERE, Visitor, app_for, text_of
from tests.unit.shop import Shop


@pytest.fixture
async def ana(shop: Shop) -> Visitor:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in("admin")
    return visitor


@pytest.mark.parametrize("act", ["pay", "cancel", "complete", "refund", "again"])
async def test_an_act_holds_for_the_version_that_was_shown(shop: Shop, ana: Visitor, act: str) -> None:
    pen = await shop.sells()
    order = await shop.paid((pen, 1)) if act in {"complete", "refund"} else await shop.order((pen, 1))
    if act == "again":
        order = await shop.use_cases.request_payment(SYSTEM, order.id)
    order = await shop.now(order)
    path = f"/console/orders/{order.id}"
    assert f'action="{path}/{act}"' in await text_of(ana, path)

    for stale in (order.version - 1, order.version + 1):
        response = await ana.send("POST", f"{path}/{act}", f"version={stale}")
        assert response.status_code == 412
        assert "read it, and decide again" in await response.get_data(as_text=True)
    for version in ("", "version=", "version=x", "version=%D9%A3"):
        assert (await ana.send("POST", f"{path}/{act}", version)).status_code == 422
    assert await shop.now(order) == order

    response = await ana.send("POST", f"{path}/{act}", f"version={order.version}")
    assert (response.status_code, response.headers["Location"]) == (303, f"{path}?done=order-{act}")
    after = await shop.now(order)
    reached = {
        "pay": OrderStatus.PROCESSING,
        "cancel": OrderStatus.CANCELLED,
        "complete": OrderStatus.COMPLETED,
        "again": OrderStatus.PROCESSING,
    }
    assert after.refund_requested if act == "refund" else after.status is reached[act]
    assert 'class="notice good"' in await text_of(ana, response.headers["Location"])


async def test_who_may_only_read_is_offered_no_act(shop: Shop) -> None:
    reader = Visitor(app_for(shop))
    await reader.sign_in("read")
    order = await shop.order((await shop.sells(), 1))
    html = await text_of(reader, f"/console/orders/{order.id}")
    assert f'action="/console/orders/{order.id}' not in html
    # Nor a link to a screen that is not for this key.
    assert "/console/stock" not in html
    assert "/console/audit" not in html


async def test_a_stock_is_adjusted_with_a_reason_alone(shop: Shop, ana: Visitor) -> None:
    pen = await shop.sells(stock=5)
    path = f"/console/stock/{pen.id}"
    version = (await shop.use_cases.see_stock(SYSTEM, pen.id)).product.version
    for form, status in (
        (f"version={version}&delta=1&reason=", 422),
        (f"version={version}&delta=many&reason=found", 422),
        (f"version={version}&delta=0&reason=found", 422),
        (f"version={version}&delta=-6&reason=lost", 409),
        (f"version={version + 1}&delta=1&reason=found", 412),
    ):
        assert (await ana.send("POST", f"{path}/adjust", form)).status_code == status, form
    assert await shop.stock_of(pen) == 5
    assert (await ana.send("POST", f"{path}/adjust", f"version={version}&delta=-2&reason=lost")).status_code == 303
    assert await shop.stock_of(pen) == 3
    # The same form once more was shown with another stock.
    assert (await ana.send("POST", f"{path}/adjust", f"version={version}&delta=-2&reason=lost")).status_code == 412
    assert await shop.stock_of(pen) == 3


async def test_what_does_not_exist_is_told_in_a_page(ana: Visitor) -> None:
    for path in ("orders", "jobs", "webhooks"):
        response = await ana.get(f"/console/{path}/{NOWHERE}")
        assert response.status_code == 404
        assert response.headers["Content-Type"].startswith("text/html")
    assert (await ana.get("/console/orders/7")).status_code in {404, 422}
    assert (await ana.get("/console/audit?colour=red")).status_code == 422
    assert (await ana.get("/console/audit?cursor=forged")).status_code in {400, 422}


async def test_a_form_of_another_kind_changes_nothing(shop: Shop, ana: Visitor) -> None:
    order = await shop.order((await shop.sells(), 1))
    response = await ana.send(
        "POST", f"/console/orders/{order.id}/cancel", '{"version": 1}', Content_Type="application/json"
    )
    assert response.status_code == 415
    assert await shop.now(order) == order
