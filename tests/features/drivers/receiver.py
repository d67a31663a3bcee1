"""Who takes the webhooks of a shop in the features."""

import json
from collections.abc import Sequence
from contextlib import ExitStack

from attrs import define, field
from holdfast_client import verify_webhook

from tests.receiving import receiving


@define(eq=False)
class Receiver:
    # Each order with its event.
    taken: list[tuple[str, str]] = field(factory=list, init=False)
    is_closed: bool = field(default=False, init=False)
    # Its own, or the public keys of the shop.
    secrets: Sequence[str] = field(default=(), init=False)
    url: str = field(default="", init=False)
    _open: ExitStack = field(factory=ExitStack, init=False)

    @classmethod
    def open(cls) -> "Receiver":
        receiver = cls()
        receiver.url = receiver._open.enter_context(receiving(receiver._take))
        return receiver

    def _take(self, body: bytes, headers: dict[str, str]) -> int:
        event = json.loads(body)
        # What is not signed by the shop is refused: nothing arrives then.
        verify_webhook(body, headers, self.secrets)
        # A test is about no order.
        if not self.is_closed and "order_id" in event:
            self.taken.append((event["order_id"], event["type"]))
        return 503 if self.is_closed else 204

    def close(self) -> None:
        self._open.close()
