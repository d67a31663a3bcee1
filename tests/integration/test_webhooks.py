"""Webhooks from a shop that is killed again and again, to a receiver that verifies what it gets."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

from attrs import define, field
from standardwebhooks import Webhook

from tests.servers import wait_until
from tests.service import Service

ORDERS = 12


@define(eq=False)
class Receiver:
    """Verifies each request as any receiver does, and keeps what it took. `secret` is that of its endpoint."""

    port: int = 0
    secret: str = ""
    taken: list[tuple[str, dict[str, object]]] = field(factory=list)
    wrong: list[str] = field(factory=list)

    @property
    def ids(self) -> set[str]:
        return {id_ for id_, _ in self.taken}

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        try:
            event = Webhook(self.secret).verify(body, headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells of it
            self.wrong.append(f"{error!r}: {headers}")
        else:
            self.taken.append((headers["webhook-id"], event))


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def ask(service: Service, path: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{service.url}{path}", data, {"Content-Type": "application/json"})  # noqa: S310 - our own address
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        found: dict[str, object] = json.load(answer)
    return found


def test_a_shop_that_is_killed_again_and_again_delivers_every_event(embedded: Service) -> None:
    with receiving() as receiver:
        embedded.settings["HOLDFAST_WEBHOOK_ALLOW"] = f"127.0.0.1:{receiver.port}"
        embedded.run("migrate")
        product = embedded.add_product(stock=ORDERS)
        embedded.start_all(["up"])
        url = f"http://127.0.0.1:{receiver.port}/webhooks"
        made = ask(embedded, "/webhook-endpoints", {"url": url, "events": ["*"]})
        receiver.secret = str(made["secret"])
        for _ in range(3):
            embedded.place_orders(product, ORDERS // 3)
            embedded.processes["up"].kill()
            embedded.start_all(["up"])
        wait_until(lambda: len(receiver.ids) == ORDERS, seconds=60, what="all events arrive")
        wait_until(
            lambda: ask(embedded, "/deliveries/undelivered") == {"items": [], "next": None},
            seconds=60,
            what="all that has arrived is recorded",
        )
        embedded.stop()
    assert receiver.wrong == []
    positions: defaultdict[str, set[object]] = defaultdict(set)
    for id_, event in receiver.taken:
        positions[id_].add(event["position"])
    assert sorted(positions.values(), key=str) == sorted(({number} for number in range(1, ORDERS + 1)), key=str)
    assert "everything agrees" in embedded.run("reconcile")
