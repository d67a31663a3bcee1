from tests.http.browser import Browser
from tests.unit.shop import Shop


async def test_the_audit_names_the_request_that_made_a_change(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    orders = [(await browser.order())["order_id"] for _ in range(2)]
    for number, order in enumerate(orders):
        answer = await browser.send("DELETE", f"/orders/{order}", more=[("Request-Id", f"request-{number}")])
        assert answer.status == 204
    first = (await browser.get("/audit?limit=1")).body
    [newest] = first["items"]
    assert (newest["action"], newest["subject"]) == ("order.deleted", f"order {orders[1]}")
    assert (newest["key_id"], newest["request_id"]) == ("anybody", "request-1")
    assert (newest["before"]["deleted"], newest["after"]["deleted"]) == (False, True)
    second = (await browser.get(f"/audit?limit=1&cursor={first['next']}")).body
    assert [entry["request_id"] for entry in second["items"]] == ["request-0"]

    of_one = (await browser.get(f"/audit?subject=order%20{orders[0]}")).body
    assert [entry["request_id"] for entry in of_one["items"]] == ["request-0"]
    assert of_one["next"] is None
    by_one = (await browser.get("/audit?request_id=request-1")).body
    assert [entry["subject"] for entry in by_one["items"]] == [f"order {orders[1]}"]
    assert (await browser.get(f"/audit?request_id=request-1&subject=order%20{orders[0]}")).body["items"] == []
    of_action = (await browser.get("/audit?action=order.deleted&limit=1")).body
    assert [entry["request_id"] for entry in of_action["items"]] == ["request-1"]
    rest = (await browser.get(f"/audit?action=order.deleted&limit=1&cursor={of_action['next']}")).body
    assert [entry["request_id"] for entry in rest["items"]] == ["request-0"]
    assert (await browser.get("/audit?action=order.cancelled")).body["items"] == []
    # A cursor belongs to its filter.
    assert (await browser.get(f"/audit?cursor={of_action['next']}")).status in {400, 422}
    assert (await browser.get(f"/audit?request_id=x&cursor={first['next']}")).status in {400, 422}
    assert (await browser.get(f"/audit?subject=x&cursor={first['next']}")).status in {400, 422}
    for subject in ("", "%00", "product%0a7", "x" * 101):
        assert (await browser.get(f"/audit?subject={subject}")).status == 422
        assert (await browser.get(f"/audit?request_id={subject}")).status == 422
        assert (await browser.get(f"/audit?action={subject}")).status == 422
