"""`holdfast products`: the catalogue."""

from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from iso4217 import Currency

from domain.ids import ProductId
from domain.money import Money
from entrypoints.cli.common import CommandError, Data, Whole, command_settings, tell, with_use_cases

if TYPE_CHECKING:
    from application.assembly import UseCases

_PAGE = 200
# The digits of each currency's minor unit. Gold, "no currency" and the like have none, so nothing is priced in them.
_DIGITS: Final = {known.code: known.exponent for known in Currency if known.exponent is not None}


def add(
    *,
    name: Annotated[str, Parameter(help="1 to 200 characters.")],
    price: Annotated[Whole, Parameter(help="In minor units: 1250 is 12.50 EUR, or 1250 JPY.")],
    currency: Annotated[str, Parameter(help="ISO 4217 code, as in EUR.")],
    stock: Annotated[Whole, Parameter(help="Units in stock.")],
    id: Annotated[Whole | None, Parameter(help="Default: the next free id.")] = None,  # noqa: A002 - the option is --id
    data: Data = None,
) -> None:
    if currency not in _DIGITS:
        raise CommandError(
            f"{currency!r} is not the code of a currency of ISO 4217 with minor units; write one, as in EUR, USD or JPY"
        )
    from application.access.principal import the_system
    from application.catalogue.add_products import NewProduct

    async def work(use_cases: "UseCases") -> None:
        new = NewProduct(id=None if id is None else ProductId(id), name=name, price=Money(price, currency), stock=stock)
        [product] = await use_cases.add_products(the_system("holdfast products"), [new])
        if isinstance(product, Exception):
            raise product
        tell(product.id)

    with_use_cases(command_settings(data=data), work)


def restock(
    product: Annotated[Whole, Parameter(help="Id of the product.")],
    change: Annotated[Whole, Parameter(help="Units to add; a negative number takes units out.")],
    *,
    reason: Annotated[str, Parameter(help="Why; it is kept with the change.")],
    data: Data = None,
) -> None:
    from application.access.principal import the_system

    async def work(use_cases: "UseCases") -> None:
        by = the_system("holdfast products")
        changed = await use_cases.adjust_stock(by, ProductId(product), change, reason=reason)
        tell(changed.stock)

    with_use_cases(command_settings(data=data), work)


def list_products(*, data: Data = None) -> None:
    from application.access.principal import SYSTEM

    async def work(use_cases: "UseCases") -> None:
        last: ProductId | None = None
        while page := await use_cases.list_products(SYSTEM, after=last, limit=_PAGE):
            for product in page:
                tell(f"{product.id:>8}  {product.stock:>12}  {_shown(product.price):>16}  {product.name}")
            last = page[-1].id

    with_use_cases(command_settings(data=data), work)


def _shown(money: Money) -> str:
    """As people write it: 1250 minor units are 12.50 EUR, and 1250 JPY."""
    # A product keeps its price when ISO 4217 withdraws the currency. The digits are no longer known then.
    digits = _DIGITS.get(money.currency)
    if digits is None:
        return f"{money.minor} minor {money.currency}"
    whole, rest = divmod(money.minor, 10**digits)
    return f"{whole}.{rest:0{digits}} {money.currency}" if digits else f"{whole} {money.currency}"
