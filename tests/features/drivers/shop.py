import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from adapters.codecs.events import encode
from adapters.codecs.standard_webhooks import SigningKey
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadMessage
from domain.ids import OrderId
from domain.orders.events import PaymentRequested

# The key of every shop in the features.
SIGNING_KEY = SigningKey.of(b"1" * 32)


@frozen
class PageSeen:
    """A page of the console, or where it leads. `cookie` is the session that it begins or ends, if it does."""

    html: str
    location: str
    cookie: str


class Refused(Exception):
    """The shop refused the request. `code` names the rule."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TryAgain(Exception):
    """The shop is unavailable, and has promised nothing."""


@frozen
class OrderSeen:
    """An order as a customer sees it."""

    id: str
    status: str
    total: int
    failure_reason: str | None


@frozen
class ChargeSeen:
    """A charge for an order in the ledger of the payment provider."""

    minor: int
    given_back: bool


@frozen
class CheckSeen:
    """What an order would be."""

    total: int
    in_stock: bool


@frozen
class LookSeen:
    """The payments of an order by their statuses, and how many refunds were given."""

    payments: list[str]
    refunds: int


@frozen
class RowSeen:
    """A row of an import, the id of what it has led to, and the code of what is wrong with it, if anything."""

    row: int
    id: Any
    wrong: str


@frozen
class WhySeen:
    """Whose turn an order waits for, why, and the steps that it has taken."""

    waits_for: str
    because: str
    steps: list[str]


class Shop(Protocol):
    """The actions of customers and of the shop. Each verb returns when its effects are visible.

    One driver does it in memory, another with the running service: the features can't tell them apart.
    """

    def add_product(self, name: str, *, price: int, currency: str, stock: int) -> int: ...

    def use_key_of(self, customer: int | None) -> None:
        """From now on, call with a new key of this customer; with None, call as the shop."""

    def revoke_key(self) -> None:
        """Revoke the key that is used, and wait until it opens nothing."""

    def restock(self, product: int, units: int) -> None: ...

    def reprice(self, product: int, *, price: int, currency: str) -> None: ...

    def sell(self, product: int, *, active: bool) -> None:
        """Say whether the product is for sale."""

    def stock_of(self, product: int) -> int: ...

    def place_order(
        self, customer: int, items: Sequence[tuple[int, int]], *, key: str | None = None, pay: bool = False
    ) -> OrderSeen:
        """Place an order of products and quantities, and with `pay` ask to pay for it in the same request.

        Return the response. Raise `Refused` or `TryAgain`.
        """

    def put_into_cart(self, customer: int, product: int, quantity: int) -> None: ...

    def cart_of(self, customer: int) -> dict[int, int]:
        """Quantities by their products."""

    def order_cart(self, customer: int, *, key: str | None = None) -> OrderSeen:
        """Raise `Refused`."""

    def order(self, order: str) -> OrderSeen:
        """Raise `Refused`."""

    def why(self, order: str) -> WhySeen:
        """Tell whose turn it is, and why, to a person on duty."""

    def orders_of(self, customer: int) -> list[str]: ...

    def check(self, items: Sequence[tuple[int, int]]) -> CheckSeen:
        """Raise `Refused`."""

    def search(
        self, customer: int, *, product: int | None = None, status: str | None = None, total_min: int | None = None
    ) -> list[str]:
        """The orders of the customer that have all that is given."""

    def look(self, order: str) -> LookSeen:
        """Look at an order with all that belongs to it."""

    def change_details(self, order: str, *, version: int | None = None, **changes: Any) -> None:
        """Change details, if it is still at this version. Raise `Refused`."""

    def details_of(self, order: str) -> Mapping[str, Any]:
        """By their names."""

    def ask_to_pay(self, order: str, *, key: str | None = None) -> OrderSeen:
        """Ask, and don't wait for the answer of the payment provider. Raise `Refused`."""

    def say(self, content: str, *, order: str | None = None, key: str | None = None) -> str:
        """Write to the shop, maybe about an order. Return the job. Raise `Refused`."""

    def messages(self, *, order: str | None = None) -> list[str]:
        """What was said about an order or at all, the newest first."""

    def job(self, job: str) -> str:
        """Return the status of the job once it has ended. Raise `Refused`."""

    def cancel_job(self, job: str) -> None:
        """Raise `Refused`."""

    def ask_as_before(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request as a client of another system does. Return the status and the body of the response."""

    def visit(self, method: str, path: str, form: str, cookie: str) -> PageSeen:
        """Send a request as a browser does that shows a page of the console."""

    def refusals_of_bulk(self, job: str) -> list[str]:
        """Why each order was refused in a bulk operation that has ended: the name of the error."""

    def export_orders(self) -> tuple[int, dict[str, str]]:
        """Return the position that the export is as of, and the status of each order in it."""

    def import_file(self, what: str, table: bytes, *, dry_run: bool = False, on_error: str = "stop") -> list[RowSeen]:
        """Import a table, and return what became of its rows."""

    def set_aside(self, order: str) -> None:
        """Make a dead letter of the request to pay for the order, as if the worker had failed with it eight times."""

    def settle(self) -> None:
        """Wait until no payment and no refund is under way."""

    def cancel(self, order: str) -> None:
        """Raise `Refused`."""

    def complete(self, order: str) -> None:
        """Raise `Refused`."""

    def refund(self, order: str) -> None:
        """Raise `Refused`."""

    def delete(self, order: str) -> None:
        """Raise `Refused`."""

    def events_of(self, order: str) -> list[str]:
        """The types of the order's events, in sequence."""

    def open_receiver(self) -> str:
        """Receive webhooks from now on, at the URL that is returned."""

    def close_receiver(self, *, closed: bool) -> None:
        """While it is closed, it answers that it can't take anything."""

    def tell(self, url: str, events: list[str], *, without_secret: bool = False) -> str:
        """Have these events sent to a receiver, which takes nothing that the shop has not signed. Return its endpoint.

        One without a secret is told the public keys of the shop.
        """

    def missed(self, endpoint: str, order: str) -> list[tuple[str, str]]:
        """What was sent of an order and has not arrived: each delivery, and the type of its event."""

    def resend(self, delivery: str) -> None: ...

    def is_left_alone(self, endpoint: str) -> bool:
        """Whether the receiver has failed so often that it is sent nothing for two minutes. It may wait a moment."""

    def test_receiver(self, endpoint: str) -> None: ...

    def received(self) -> list[tuple[str, str]]:
        """What the receiver has taken so far: each order with its event. It may wait a moment."""

    def read_feed(self, after: int) -> tuple[list[tuple[str, str]], int]:
        """Events after a position, each with its order, and the position to go on after. It may wait a moment."""

    def charges_of(self, order: str) -> list[ChargeSeen]: ...

    def decline_cards(self, *, declined: bool) -> None:
        """From now on."""

    def ask_a_silent_provider(self, order: str) -> None:
        """Ask for the payment while the provider gives no answers, and wait until that is known."""

    def hear_from_the_provider(self, order: str) -> None:
        """Let the provider answer again, and wait until the order is settled."""

    def let_the_time_to_pay_pass(self) -> None: ...

    def close_for_a_weekend(self) -> None:
        """Stop the service, start it three days later, and wait until it has looked for unpaid orders."""

    def bring_again(self, order: str, request: str) -> None:
        """Deliver the order's last event of this type to the worker again, and wait until it is handled."""

    def stop_right_after_charging(self, order: str) -> None:
        """Request the payment; kill the service between the charge and its record."""

    def start_again(self) -> None: ...

    def lose_database(self, *, and_broker: bool = False) -> None:
        """Disconnect the database, and the broker too if `and_broker`."""

    def find_them_again(self) -> None:
        """Reconnect both, and wait until all accepted orders are recorded."""


async def set_aside_payment(unit_of_work: UnitOfWork, order: OrderId, *, at: datetime) -> None:
    async with unit_of_work() as tx:
        [request] = [each for each in await tx.events.of_orders({order}) if isinstance(each, PaymentRequested)]
        message = DeadMessage(body=encode(request), reason="KeyError: 'x'", attempts=8, first_at=at, last_at=at)
        await tx.dead_letters.record("payments", [message])


def in_results(content: bytes) -> list[RowSeen]:
    """Return the rows of the results of an import."""
    results = map(json.loads, content.splitlines())
    return [
        RowSeen(each["row"], each.get("id"), each["errors"][0]["code"] if "errors" in each else "") for each in results
    ]


def page_seen(html: str, headers: Mapping[str, str]) -> PageSeen:
    return PageSeen(html, headers.get("Location", ""), headers.get("Set-Cookie", "").partition(";")[0])


def refusals_in(content: bytes) -> list[str]:
    """Return the names of the errors in the results of a bulk operation."""
    results = map(json.loads, content.splitlines())
    return [each["reason"].partition(":")[0] for each in results if each["outcome"] == "failed"]


def in_export(content: bytes) -> tuple[int, dict[str, str]]:
    """Return the position and the statuses of an export of orders as NDJSON."""
    head, *rows = map(json.loads, content.splitlines())
    return head["as_of_position"], {row["order_id"]: row["status"] for row in rows}
