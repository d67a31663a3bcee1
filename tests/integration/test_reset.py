"""A shop on all its servers is emptied while it works."""

import asyncio

from holdfast_client import Client, Item, NotFound, PositionNotKept

from tests.service import Service


async def test_an_emptied_shop_remembers_nothing_and_sells_on(on_servers: Service) -> None:
    on_servers.settings |= {"HOLDFAST_AUTH": "open", "HOLDFAST_ALLOW_RESET": "1", "ADMIN_PASSWORD": "swordfish"}
    await asyncio.to_thread(on_servers.start_all, ["up"])
    pen = await asyncio.to_thread(on_servers.add_product, stock=9)
    await asyncio.to_thread(_sell_empty_and_sell, on_servers, pen)
    # What is left of the first order is a charge, which its provider keeps.
    findings = await on_servers.findings()
    assert [finding for finding in findings if "charge" not in finding] == []
    assert "Traceback" not in on_servers.logs()


def _sell_empty_and_sell(service: Service, pen: int) -> None:
    with Client(service.url) as client:
        first = client.place_order(1, [Item(pen, 2)], pay=True)
        events = client.events(after=0)
        while next(events).type != "order.paid":
            pass
        assert client.order(first.order_id).status == "PAID"
        position = client.newest_position()

        assert client.reset_shop(service.settings["HOLDFAST_NAMESPACE"]) == 1

        # Neither the database nor Redis has it, from the first moment on.
        try:
            client.order(first.order_id)
        except NotFound:
            pass
        else:
            raise AssertionError("the order is still there")
        assert (client.product(pen).stock, list(client.orders())) == (9, [])
        try:
            client.event_page(after=position - 1)
        except PositionNotKept:
            pass
        else:
            raise AssertionError("the feed goes on as if nothing had happened")
        second = client.place_order(1, [Item(pen, 9)], pay=True)
        following = client.events(after=position)
        types = []
        while types[-1:] != ["order.paid"]:
            event = next(following)
            assert event.order_id == second.order_id
            types.append(event.type)
        assert types[0] == "order.placed"
