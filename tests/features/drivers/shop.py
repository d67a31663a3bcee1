from collections.abc import Sequence
from typing import Protocol

from attrs import frozen


class Refused(Exception):
    """The shop said no. `code` names the rule."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TryAgain(Exception):
    """The shop can do nothing now, and has promised nothing."""


@frozen
class OrderSeen:
    """An order as a customer sees it."""

    id: str
    status: str
    total: int
    failure_reason: str | None


@frozen
class ChargeSeen:
    """Money that the payment provider took for an order, by its own books."""

    minor: int
    given_back: bool


class Shop(Protocol):
    """What people do with a shop. Each verb returns when its consequences are there to be seen.

    One driver does it in memory, another with the running service: the features can't tell them apart.
    """

    def add_product(self, name: str, *, price: int, currency: str, stock: int) -> int: ...

    def restock(self, product: int, units: int) -> None: ...

    def stock_of(self, product: int) -> int: ...

    def place_order(self, customer: int, items: Sequence[tuple[int, int]], *, key: str | None = None) -> OrderSeen:
        """Products and quantities. Return what the customer is told. Raise `Refused` or `TryAgain`."""

    def order(self, order: str) -> OrderSeen:
        """Raise `Refused`."""

    def orders_of(self, customer: int) -> list[str]: ...

    def ask_to_pay(self, order: str, *, key: str | None = None) -> OrderSeen:
        """Ask, and don't wait for the answer of the payment provider. Raise `Refused`."""

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
        """What was announced about an order: the types of its events, in order."""

    def charges_of(self, order: str) -> list[ChargeSeen]: ...

    def decline_cards(self, *, declined: bool) -> None:
        """From now on."""

    def let_the_time_to_pay_pass(self) -> None: ...

    def bring_again(self, order: str, request: str) -> None:
        """The last event of this type that the order has, is brought to the worker once more, and dealt with."""

    def stop_right_after_charging(self, order: str) -> None:
        """Ask to pay; the service dies between the charge and its record, and stays dead."""

    def start_again(self) -> None: ...

    def lose_the_books(self, *, and_the_post: bool = False) -> None:
        """The database can't be reached any more, nor, if so, what brings messages."""

    def find_them_again(self) -> None:
        """Both are reached again, and what was accepted meanwhile is entered."""
