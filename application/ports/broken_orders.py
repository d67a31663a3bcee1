"""Orders whose rows break a rule of the domain, as after a change by hand in the database."""

from collections.abc import Iterable, Mapping

from application.errors import BrokenRow
from domain.ids import OrderId
from domain.orders.order import Order


class BrokenOrder(BrokenRow):
    """One such order. In a list it stands in the place of the order. The message says which rule is broken."""

    def __init__(self, id_: OrderId, message: str) -> None:
        super().__init__(message)
        self.id = id_


class BrokenOrders(BrokenRow):
    """Some of the orders that a call names are broken. `sound` are the others that exist."""

    def __init__(self, broken: Mapping[OrderId, BrokenOrder], sound: Mapping[OrderId, Order]) -> None:
        super().__init__("; ".join(map(str, broken.values())))
        self.broken = broken
        self.sound = sound


def sound(found: Iterable[Order | BrokenOrder]) -> list[Order]:
    return [each for each in found if isinstance(each, Order)]


def broken(found: Iterable[Order | BrokenOrder]) -> list[BrokenOrder]:
    return [each for each in found if isinstance(each, BrokenOrder)]
