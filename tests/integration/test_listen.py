"""`holdfast listen`, as a person runs it who writes a receiver of webhooks."""

import json
from functools import partial

from attrs import define, field
from holdfast_client import verify_webhook

from tests.receiving import receiving
from tests.servers import wait_until
from tests.service import Service

ORDERS = 12


@define(eq=False)
class Receiver:
    """Refuses every third request, and keeps what it took: body and headers."""

    asked: int = 0
    taken: list[tuple[bytes, dict[str, str]]] = field(factory=list)

    @property
    def ids(self) -> set[str]:
        return {headers["webhook-id"] for _, headers in self.taken}

    def has(self, count: int) -> bool:
        return len(self.taken) >= count

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        self.asked += 1
        if self.asked % 3 == 0:
            return 500
        self.taken.append((body, headers))
        return 204


def test_a_listener_that_is_killed_again_and_again_misses_no_event(migrated: Service) -> None:
    product = migrated.add_product(stock=ORDERS)
    migrated.start_all(["up"])
    receiver = Receiver()
    with receiving(receiver.take) as url:
        options = ("--forward-to", url, "--print-json")
        for round_ in range(3):
            some = partial(receiver.has, len(receiver.taken) + 2)
            # The first run begins with what is there already, the others where the last one was killed.
            begin = ["--since", "0"] if round_ == 0 else []
            listener = migrated.start("listen", *options, *begin, name=f"listen-{round_}")
            migrated.place_orders(product, ORDERS // 3)
            wait_until(some, seconds=30, what="events arrive")
            listener.kill()
        listener = migrated.start("listen", *options)
        wait_until(lambda: len(receiver.ids) == ORDERS, seconds=30, what="all events arrive")
        listener.kill()
    [secret] = {line.rpartition(" ")[2] for line in listener.output().splitlines() if "signed with the secret" in line}
    for body, headers in receiver.taken:
        event = json.loads(body)
        id_ = verify_webhook(body, headers, secret, now=int(headers["webhook-timestamp"]))
        assert id_ == f"{event['order_id']}/{event['sequence']}"
        assert int(headers["holdfast-position"]) == event["position"]
    # Again is possible, out of sequence is not.
    positions = list(dict.fromkeys(json.loads(body)["position"] for body, _ in receiver.taken))
    assert positions == list(range(1, ORDERS + 1))
    # What is refused is not kept for the next run.
    status, output = migrated.try_to_run("listen", "--forward-to", url, "--since", "4711")
    assert (status, "410" in output) == (1, True)
    assert str(4711) not in "".join(file.read_text() for file in migrated.data.glob("listen-*.json"))
    status, output = migrated.try_to_run("listen", "--forward-to", url, "--types", "order.nonsense")
    assert (status, "order.nonsense" in output) == (1, True)
