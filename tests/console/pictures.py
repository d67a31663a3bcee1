"""Makes the pictures of the console in the README: `.venv/bin/python -m tests.console.pictures` writes them.

Look at them before you commit them.
"""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal
from uuid import UUID

from playwright.sync_api import Browser, Page, expect

from adapters.codecs.events import encode
from application.ports.persistence import Transaction
from domain.dead_letter import DeadMessage
from domain.dead_letter_groups import reason_of
from domain.ids import OrderId
from domain.orders.events import PaymentRequested
from tests.console.conftest import Console, browsing, running, sign_in
from tests.console.places import Places
from tests.receiving import receiving
from tests.servers.packages import find_chromium

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
_SIZE: Final[Any] = {"width": 1280, "height": 860}
_ORDERS: Final = 120
_LETTERS: Final = 12
_OF_ONE: Final = {
    "user_id": 25,
    "email": "m.okafor@example.com",
    "external_id": "web-941784125",
    "note": "Please leave it with the neighbour.",
    "items": [{"product_id": 1, "quantity": 2}, {"product_id": 3, "quantity": 1}],
    "pay": True,
}


def main() -> None:
    with (
        TemporaryDirectory() as folder,
        receiving(lambda _body, _headers: 204) as receiver,
        running(Path(folder), HOLDFAST_WEBHOOK_ALLOW="127.0.0.1:*") as console,
        console.client() as api,
        browsing(find_chromium()) as browser,
    ):
        api.post("/webhook-endpoints", json={"url": receiver, "events": ["order.*"]}).raise_for_status()
        places = Places(console.service, api)
        paid = [places.paid_order().rpartition("/")[2] for _ in range(_ORDERS)]
        # Before there are dead letters, which are discrepancies.
        places.check()
        places.in_database(_set_aside, paid[:_LETTERS])
        one = places.paid_order(**_OF_ONE)
        _take("console-now.png", browser, console, "/console/now", theme="light")
        _take("console-order.png", browser, console, one, theme="dark")


async def _set_aside(tx: Transaction, orders: list[str]) -> None:
    """The messages of orders that are paid for by now: a replay would do nothing."""
    events = await tx.events.of_orders({OrderId(UUID(each)) for each in orders})
    at, reason = (
        datetime.now(UTC),
        reason_of("KeyError", "application.payments.process_payment.ProcessPayment.record", "'x'"),
    )
    dead = [
        DeadMessage(body=encode(each), reason=reason, attempts=8, first_at=at, last_at=at)
        for each in events
        if isinstance(each, PaymentRequested)
    ]
    await tx.dead_letters.record("payments", dead)


def _take(name: str, browser: Browser, console: Console, path: str, *, theme: Literal["light", "dark"]) -> None:
    context = browser.new_context(base_url=console.service.url, viewport=_SIZE, color_scheme=theme)
    page: Page = context.new_page()
    sign_in(page, console.key)
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.screenshot(path=FOLDER / name)
    context.close()


if __name__ == "__main__":
    main()
