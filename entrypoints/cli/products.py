"""`holdfast products`: the catalogue."""

from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from domain.ids import ProductId
from domain.money import Money
from entrypoints.cli.common import CommandError, Data, Whole, command_settings, with_use_cases
from entrypoints.cli.output import tell
from entrypoints.currencies import DIGITS, PRICED_IN, UNKNOWN

if TYPE_CHECKING:
    from application.assembly.use_cases import UseCases
    from application.execution.idempotency import ProductOutcome
    from domain.catalogue.product import Product

_PAGE = 200


def add(
    *,
    name: Annotated[str, Parameter(help="1 to 200 characters.")],
    price: Annotated[Whole, Parameter(help="In minor units: 1250 is 12.50 EUR, or 1250 JPY.")],
    currency: Annotated[str, Parameter(help="ISO 4217 code, as in EUR.")],
    stock: Annotated[Whole, Parameter(help="Units in stock.")],
    sku: Annotated[str | None, Parameter(help="Your own name for it, which no other product has.")] = None,
    id: Annotated[Whole | None, Parameter(help="Default: the next free id.")] = None,  # noqa: A002 - the option is --id
    data: Data = None,
) -> None:
    _expect_currency(currency)
    from application.access.principal import the_system
    from application.catalogue.add_products import NewProduct

    async def work(use_cases: "UseCases") -> None:
        new = NewProduct(
            id=None if id is None else ProductId(id), name=name, price=Money(price, currency), stock=stock, sku=sku
        )
        [product] = await use_cases.add_products(the_system("holdfast products"), [new])
        tell(_done(product).id)

    with_use_cases(command_settings(data=data), work)


def change(
    product: Annotated[Whole, Parameter(help="Id of the product.")],
    *,
    name: Annotated[str | None, Parameter(help="1 to 200 characters.")] = None,
    price: Annotated[Whole | None, Parameter(help="In minor units. Orders that were placed keep their price.")] = None,
    currency: Annotated[str | None, Parameter(help="ISO 4217 code, as in EUR.")] = None,
    sku: Annotated[str | None, Parameter(help="Your own name for it, which no other product has.")] = None,
    active: Annotated[bool | None, Parameter(help="Whether it can be ordered.", negative="--inactive")] = None,
    data: Data = None,
) -> None:
    if currency is not None:
        _expect_currency(currency)
    from application.access.principal import the_system
    from application.catalogue.change_product import ProductCall
    from domain.catalogue.product import KEEP, ProductEdit

    async def work(use_cases: "UseCases") -> None:
        edit = ProductEdit(
            name=KEEP if name is None else name,
            price=KEEP if price is None else price,
            currency=KEEP if currency is None else currency,
            sku=KEEP if sku is None else sku,
            active=KEEP if active is None else active,
        )
        call = ProductCall(product_id=ProductId(product), edit=edit)
        tell(_line(await use_cases.change_product(the_system("holdfast products"), call)))

    with_use_cases(command_settings(data=data), work)


def restock(
    product: Annotated[Whole, Parameter(help="Id of the product.")],
    change: Annotated[Whole, Parameter(help="Units to add; a negative number takes units out.")],
    *,
    reason: Annotated[str, Parameter(help="Why; it is kept with the change.")],
    data: Data = None,
) -> None:
    from application.access.principal import the_system
    from application.catalogue.adjust_stock import StockCall

    async def work(use_cases: "UseCases") -> None:
        call = StockCall(product_id=ProductId(product), delta=change, reason=reason)
        [changed] = await use_cases.adjust_stock(the_system("holdfast products"), [call])
        tell(_done(changed).stock)

    with_use_cases(command_settings(data=data), work)


def list_products(*, data: Data = None) -> None:
    from application.access.principal import SYSTEM
    from application.ports.broken import BrokenProduct

    async def work(use_cases: "UseCases") -> None:
        last: ProductId | None = None
        while page := await use_cases.list_products(SYSTEM, after=last, limit=_PAGE, active=None):
            for product in page:
                tell(f"{product.id:>8}  broken: {product}" if isinstance(product, BrokenProduct) else _line(product))
            last = page[-1].id

    with_use_cases(command_settings(data=data), work)


def _expect_currency(currency: str) -> None:
    if currency not in PRICED_IN:
        raise CommandError(f"{currency!r} is not {UNKNOWN}")


def _done(outcome: "ProductOutcome") -> "Product":
    """Raise a refusal."""
    if isinstance(outcome, Exception):
        raise outcome
    # A command has no idempotency key, so nothing is replayed.
    return cast("Product", outcome)


def _line(product: "Product") -> str:
    names = product.name if product.sku is None else f"{product.name}  ({product.sku})"
    line = f"{product.id:>8}  {product.stock:>12}  {_shown(product.price):>16}  {names}"
    return line if product.active else f"{line}  - not for sale"


def _shown(money: Money) -> str:
    """As people write it: 1250 minor units are 12.50 EUR, and 1250 JPY."""
    # A product keeps its price when ISO 4217 withdraws the currency. The digits are no longer known then.
    digits = DIGITS.get(money.currency)
    if digits is None:
        return f"{money.minor} minor {money.currency}"
    whole, rest = divmod(money.minor, 10**digits)
    return f"{whole}.{rest:0{digits}} {money.currency}" if digits else f"{whole} {money.currency}"
