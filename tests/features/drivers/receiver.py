"""A receiver of webhooks on this machine."""

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attrs import define, field
from holdfast_client import verify_webhook


@define(eq=False)
class Receiver:
    _server: ThreadingHTTPServer
    _thread: threading.Thread
    # Each order with its event.
    taken: list[tuple[str, str]]
    is_closed: bool = field(default=False, init=False)
    # Its own, or the public keys of the shop.
    secrets: Sequence[str] = field(default=(), init=False)

    @classmethod
    def open(cls) -> "Receiver":
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                event = json.loads(body)
                # What is not signed by the shop is refused: nothing arrives then.
                verify_webhook(body, dict(self.headers), receiver.secrets)
                # A test is about no order.
                if not receiver.is_closed and "order_id" in event:
                    receiver.taken.append((event["order_id"], event["type"]))
                self.send_response(503 if receiver.is_closed else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        receiver = cls(server, thread, [])
        thread.start()
        return receiver

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()
