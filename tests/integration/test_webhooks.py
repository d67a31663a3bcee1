"""Webhooks from a shop whose senders are killed again and again, to receivers that verify what they get."""

import json
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.request import Request, urlopen

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text
from standardwebhooks import Webhook

from tests.engines import engine_on
from tests.receiving import receiving
from tests.servers import wait_until
from tests.service import Service

ORDERS = 12
ENDPOINTS = 4


@define(eq=False)
class Receiver:
    """Verifies each request as any receiver does, and keeps what it took. `secret` is that of its endpoint."""

    url: str = ""
    secret: str = ""
    # A key of the shop, where it signs with its own.
    public: bytes = b""
    # Seconds that it takes over each request.
    pause: float = 0.0
    taken: list[tuple[str, dict[str, object]]] = field(factory=list)
    wrong: list[str] = field(factory=list)

    @property
    def ids(self) -> set[str]:
        return {id_ for id_, _ in self.taken}

    def sequences(self) -> dict[str, list[int]]:
        """By order, the events in the sequence in which they came first."""
        found = defaultdict(list)
        for id_ in dict.fromkeys(id_ for id_, _ in self.taken):
            order_id, _, sequence = id_.partition("/")
            found[order_id].append(int(sequence))
        return found

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        time.sleep(self.pause)
        try:
            event = json.loads(body) if self.public else Webhook(self.secret).verify(body, headers)
            if self.public:
                # As Standard Webhooks has it, and with none of our own code.
                signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
                signature = b64decode(headers["webhook-signature"].removeprefix("v1a,"))
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells of it
            self.wrong.append(f"{error!r}: {headers}")
        else:
            self.taken.append((headers["webhook-id"], event))
        return 204


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiving(receiver.take) as receiver.url:
        yield receiver


def ask(service: Service, path: str, body: object = None, method: str | None = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(f"{service.url}{path}", data, headers, method=method)  # noqa: S310 - our own address
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        found: dict[str, object] = json.load(answer)
    return found


def test_a_shop_that_is_killed_again_and_again_delivers_every_event(migrated: Service) -> None:
    with a_receiver() as receiver:
        migrated.settings["HOLDFAST_WEBHOOK_ALLOW"] = "127.0.0.1:*"
        product = migrated.add_product(stock=ORDERS)
        migrated.start_all(["up"])
        made = ask(migrated, "/webhook-endpoints", {"url": receiver.url, "events": ["*"]})
        receiver.secret = str(made["secret"])
        for _ in range(3):
            migrated.place_orders(product, ORDERS // 3)
            migrated.processes["up"].kill()
            migrated.start_all(["up"])
        wait_until(lambda: len(receiver.ids) == ORDERS, seconds=60, what="all events arrive")
        wait_until(
            lambda: ask(migrated, "/deliveries/undelivered") == {"items": [], "next": None},
            seconds=60,
            what="all that has arrived is recorded",
        )
        migrated.stop()
    assert receiver.wrong == []
    positions: defaultdict[str, set[object]] = defaultdict(set)
    for id_, event in receiver.taken:
        positions[id_].add(event["position"])
    assert sorted(positions.values(), key=str) == sorted(({number} for number in range(1, ORDERS + 1)), key=str)
    assert "everything agrees" in migrated.run("reconcile")


async def test_no_event_is_missed_or_overtaken_when_one_of_two_relays_is_killed(on_servers: Service) -> None:
    """Each serves some of the endpoints. What the killed one had is sent again by the other, in its order."""
    with ExitStack() as stack:
        receivers = [stack.enter_context(a_receiver()) for _ in range(ENDPOINTS)]
        on_servers.settings["HOLDFAST_WEBHOOK_ALLOW"] = "127.0.0.1:*"
        product = on_servers.add_product(stock=ORDERS)
        on_servers.start_all(["api", "relay", "relay-2"])
        for receiver in receivers:
            made = ask(on_servers, "/webhook-endpoints", {"url": receiver.url, "events": ["*"], "max_concurrency": 2})
            receiver.secret, receiver.pause = str(made["secret"]), 0.03
        placed: list[str] = []
        for name in ("relay", "relay-2"):
            orders = on_servers.place_orders(product, ORDERS // 2)
            placed += orders
            before = sum(len(receiver.taken) for receiver in receivers)
            for order in orders:
                ask(on_servers, f"/orders/{order}/status", {"status": "CANCELLED"}, method="PATCH")
            wait_until(
                lambda before=before: sum(len(receiver.taken) for receiver in receivers) > before,
                seconds=60,
                what="they are being sent",
            )
            on_servers.processes[name].kill()
            async with engine_on(on_servers.database) as engine, engine.begin() as connection:
                # As if most of the minute had passed for which the killed one has its endpoints.
                await connection.execute(
                    text("UPDATE webhook_progress SET leased_until = leased_until - interval '55 seconds'")
                )
            on_servers.start(name.partition("-")[0], name=name)
        everything = {f"{order}/{sequence}" for order in placed for sequence in (1, 2)}
        for receiver in receivers:
            wait_until(lambda receiver=receiver: receiver.ids == everything, seconds=60, what="all events arrive")
        wait_until(
            lambda: ask(on_servers, "/deliveries/undelivered") == {"items": [], "next": None},
            seconds=60,
            what="all that has arrived is recorded",
        )
        on_servers.stop()
    for receiver in receivers:
        assert receiver.wrong == []
        assert receiver.sequences() == {order: [1, 2] for order in placed}


def test_what_a_shop_signs_with_its_own_key_is_verified_with_what_it_publishes(migrated: Service) -> None:
    with a_receiver() as receiver:
        private = migrated.run("webhook-key").splitlines()[-1]
        migrated.settings["HOLDFAST_WEBHOOK_ALLOW"] = "127.0.0.1:*"
        migrated.settings["HOLDFAST_WEBHOOK_SIGNING_KEYS"] = private
        product = migrated.add_product(stock=ORDERS)
        migrated.start_all(["up"])
        # As it is told to strangers.
        with urlopen(f"{migrated.url}/.well-known/webhook-keys", timeout=60) as answer:  # noqa: S310 - our own address
            [public] = json.load(answer)["keys"]
        receiver.public = b64decode(public.removeprefix("whpk_"))
        ask(migrated, "/webhook-endpoints", {"url": receiver.url, "events": ["order.placed"], "signature": "v1a"})
        orders = migrated.place_orders(product, 3)
        wait_until(lambda: len(receiver.ids) == len(orders), seconds=60, what="all events arrive")
        migrated.stop()
    assert receiver.wrong == []
    assert private not in migrated.logs()


def test_a_receiver_gets_the_whole_event_or_which_one_it_is(migrated: Service) -> None:
    """As it wants it, and as it fits: what has more than 20 kB goes without its data."""
    with a_receiver() as whole, a_receiver() as thin:
        migrated.settings["HOLDFAST_WEBHOOK_ALLOW"] = "127.0.0.1:*"
        product = migrated.add_product(stock=ORDERS)
        migrated.start_all(["up"])
        for receiver, payload in ((whole, "full"), (thin, "thin")):
            wanted = {"url": receiver.url, "events": ["order.placed"], "payload": payload}
            receiver.secret = str(ask(migrated, "/webhook-endpoints", wanted)["secret"])
        order = {"user_id": 7, "items": [{"product_id": product, "quantity": 1}]}
        small = ask(migrated, "/orders", order)["order_id"]
        # Of more bytes than characters.
        large = ask(migrated, "/orders", order | {"metadata": {f"key {number}": "é" * 500 for number in range(20)}})
        for receiver in (whole, thin):
            wait_until(lambda receiver=receiver: len(receiver.ids) == 2, seconds=60, what="both events arrive")
        migrated.stop()
    which = {"position", "order_id", "sequence", "type", "time"}
    for receiver, of_small, of_large in ((whole, {"data", "request_id"}, {"truncated"}), (thin, set(), set())):
        assert receiver.wrong == []
        events = {event["order_id"]: event for _, event in receiver.taken}
        assert events[small].keys() == which | of_small
        assert events[large["order_id"]].keys() == which | of_large
        assert events[large["order_id"]].get("truncated", True) is True
