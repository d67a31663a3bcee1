from uuid import uuid4

from tests.servers import wait_until
from tests.service import Service


def test_a_person_asks_why_an_order_stands_where_it_does(migrated: Service) -> None:
    product = migrated.add_product(stock=3)
    migrated.start_all(["up"])
    [order] = migrated.place_orders(product, 1)
    told = migrated.run("why", order)
    assert "PENDING, version 1, since" in told
    assert "nobody has asked for its payment" in told
    assert "order.placed" in told.splitlines()[-1]
    wait_until(
        lambda: "order.placed (into the feed " in migrated.run("why", order),
        seconds=60,
        what="it says how long the event took into the feed",
    )
    assert migrated.try_to_run("why", str(uuid4()))[0] == 1
    assert migrated.try_to_run("why", "42")[0] == 2
