import re
from http import HTTPStatus
from itertools import count
from typing import Any
from urllib.parse import urlencode

from attrs import define, field

from tests.features.drivers.shop import CheckSeen, OrderSeen, PageSeen, Refused, RowSeen, Shop, TryAgain

# Each story has customers of its own, because all stories share one shop.
_CUSTOMERS = count(1)


@define(eq=False)
class Story:
    """The meaning of the words in a scenario: the products by their names, "her", "her order", "that"."""

    shop: Shop
    products: dict[str, int] = field(factory=dict)
    customer: int = field(factory=lambda: next(_CUSTOMERS))
    orders: list[str] = field(factory=list)
    jobs: list[str] = field(factory=list)
    refusal: Refused | None = None
    sent_away: bool = False
    # The status of the last response to a client of another system, and what it said about the order.
    status: int = 0
    said: str = ""
    # The responses to her requests, in order.
    told: list[OrderSeen] = field(factory=list)

    # What became of the rows of the last import.
    results: list[RowSeen] = field(factory=list)

    # What an order would be.
    checked: CheckSeen | None = None

    # The key of the person on duty, the session in the console and a copy of it, and the page that was seen last.
    key_id: str = ""
    session: str = ""
    copied: str = ""
    page: str = ""

    # How many orders the person on duty has counted.
    counted: int = 0
    # What of that is sent back.
    shown: dict[str, object] = field(factory=dict)

    # The dead letter about her order that was seen last.
    letter: int = 0

    # Where the accountant goes on in the feed.
    position: int = 0

    # Where the warehouse receives webhooks.
    endpoint: str = ""

    # The status of each order in the last export.
    exported: dict[str, str] = field(factory=dict)

    def export_orders(self) -> None:
        """What happens afterwards is read on from the position of the export."""
        self.position, self.exported = self.shop.export_orders()

    def missed(self) -> list[tuple[str, str]]:
        """What the warehouse was sent and has not taken of her order: each delivery, and the type of its event."""
        return self.shop.missed(self.endpoint, self.order)

    def read_on(self) -> list[tuple[str, str]]:
        """The next events of the feed, each with its order."""
        read, self.position = self.shop.read_feed(self.position)
        return read

    @property
    def order(self) -> str:
        """The order that was placed last."""
        return self.orders[-1]

    def seen(self) -> OrderSeen:
        return self.shop.order(self.order)

    def product(self, name: str) -> int:
        """By name, in the singular or the plural; what the shop does not sell has an id that nothing has."""
        return self.products.get(_singular(name), 2**62)

    def sell(self, name: str, *, price: int, currency: str, stock: int) -> None:
        product = self.shop.add_product(_singular(name), price=price, currency=currency, stock=stock)
        self.products[_singular(name)] = product

    def someone_orders(self, items: str, *, key: str | None = None, pay: bool = False) -> None:
        self.customer = next(_CUSTOMERS)
        self.she_orders(items, key=key, pay=pay)

    def someone_comes(self) -> None:
        self.customer = next(_CUSTOMERS)

    def she_orders_her_cart(self, *, key: str | None = None) -> None:
        with self.allowing_refusal():
            told = self.shop.order_cart(self.customer, key=key)
            self.told.append(told)
            if told.id not in self.orders:
                self.orders.append(told.id)

    def she_orders(self, items: str, *, key: str | None = None, pay: bool = False) -> None:
        with self.allowing_refusal():
            told = self.shop.place_order(self.customer, self._wanted(items), key=key, pay=pay)
            self.told.append(told)
            if told.id not in self.orders:
                self.orders.append(told.id)

    def someone_asks(self, items: str) -> None:
        self.customer = next(_CUSTOMERS)
        with self.allowing_refusal():
            self.checked = self.shop.check(self._wanted(items))

    def _wanted(self, items: str) -> list[tuple[int, int]]:
        """Items as in `2 fountain pens and 1 bottle of ink`."""
        wanted = [item.split(" ", 1) for item in items.split(" and ")]
        return [(self.product(name), int(quantity)) for quantity, name in wanted]

    def asks_as_before(self, method: str, path: str, body: object = None) -> Any:
        """Ask as a client of another system. Return what it is told, and keep its order."""
        self.status, told = self.shop.ask_as_before(method, path, body)
        if self.status < HTTPStatus.BAD_REQUEST and "order_id" in told and told["order_id"] not in self.orders:
            self.orders.append(told["order_id"])
        return told

    def visit(self, path: str, *, session: str | None = None) -> str:
        """Return a page of the console."""
        self.page = self.shop.visit("GET", path, "", self.session if session is None else session).html
        return self.page

    def submit(self, path: str, **form: str) -> PageSeen:
        """Send a form of the console."""
        return self.shop.visit("POST", path, urlencode(form), self.session)

    def act_on_all(self, act: str, reason: str, *, dry_run: bool = False) -> None:
        """Do something with all orders of the customer, or count them. What was counted is sent back."""
        wanted = {"act": act, "reason": reason, "orders": {"user_id": self.customer}, "dry_run": dry_run}
        told = self.asks_as_before("POST", "/bulk-operations", wanted | self.shown)
        if self.status == HTTPStatus.OK:
            self.counted = told["count"]
            self.shown = {name: told[name] for name in ("count", "digest")}
        elif self.status == HTTPStatus.ACCEPTED:
            self.jobs.append(told["job_id"])
        else:
            self.said = told["detail"]

    def waiting_letters(self) -> list[int]:
        """The dead letters about her order that wait for a decision."""
        told = self.asks_as_before("GET", "/dead-letters?queue=payments&limit=100")
        found = [each["id"] for each in told["items"] if each["order_id"] == self.order]
        self.letter = found[0] if found else self.letter
        return found

    def she_asks_to_pay(self, *, key: str | None = None) -> None:
        with self.allowing_refusal():
            self.told.append(self.shop.ask_to_pay(self.order, key=key))

    def she_writes(self, content: str, *, about: str | None = None, key: str | None = None) -> None:
        with self.allowing_refusal():
            self.jobs.append(self.shop.say(content, order=about, key=key))

    def allowing_refusal(self) -> "_Allowing":
        """What is refused in this block is what the story calls "that is refused"."""
        return _Allowing(self)


@define(eq=False)
class _Allowing:
    _story: Story

    def __enter__(self) -> None:
        self._story.refusal = None
        self._story.sent_away = False

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, Refused):
            self._story.refusal = error
        self._story.sent_away = isinstance(error, TryAgain)
        return isinstance(error, Refused | TryAgain)


def minor_units(amount: str, currency: str) -> int:
    """An amount as people write it: `12.50` in EUR, `900` in JPY."""
    assert re.fullmatch(r"\d+" if currency == "JPY" else r"\d+\.\d\d", amount), f"{amount} {currency}"
    return int(amount.replace(".", ""))


def _singular(name: str) -> str:
    return re.sub(r"s\b", "", name)
