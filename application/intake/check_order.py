from collections.abc import Sequence

from attrs import frozen

from application.intake.order_request import RequestedItem
from application.intake.pricing import price_items
from application.ports.persistence import UnitOfWork
from domain.money import Money
from domain.orders.limits import expect_within_limits
from domain.orders.line import OrderLine
from domain.orders.order import total_of


@frozen
class CheckedLine:
    """One line of an order as it would be placed now."""

    line: OrderLine
    in_stock: bool


@frozen
class CheckedOrder:
    """What an order would cost now, and whether it could be paid for."""

    lines: tuple[CheckedLine, ...]
    total: Money

    @property
    def in_stock(self) -> bool:
        return all(each.in_stock for each in self.lines)


@frozen
class CheckOrder:
    """Find out what an order would cost, and whether there is stock, without placing it. It promises nothing."""

    _unit_of_work: UnitOfWork

    async def __call__(self, items: Sequence[RequestedItem]) -> CheckedOrder:
        """Raise what placing the order would raise: a `DomainError` that names what is wrong."""
        expect_within_limits([(item.product_id, item.quantity) for item in items])
        async with self._unit_of_work.reading() as tx:
            products = await tx.products.get_many({item.product_id for item in items})
        lines = price_items(items, products)
        total = total_of(lines)
        return CheckedOrder(
            tuple(CheckedLine(line, products[line.product_id].stock >= line.quantity) for line in lines), total
        )
