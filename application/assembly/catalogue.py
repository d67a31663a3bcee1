"""Products and their stock."""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.guarded import Guarded, for_anybody
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.catalogue.add_products import AddProducts, NewProduct
from application.catalogue.adjust_stock import AdjustStock, StockCall
from application.catalogue.change_product import ChangeProduct, ProductCall
from application.catalogue.list_adjustments import ListAdjustments
from application.catalogue.list_products import CountLeft, CountProducts, ListProducts, ReadPages, ReadStock
from application.catalogue.list_stock import ListStock, SeeStock, Stocked
from application.catalogue.products_by_name import FindByName, ProductsByName
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.idempotency import Keyed, ProductOutcome
from application.ports.broken import BrokenProduct
from application.ports.catalogue import RecordedAdjustment
from domain.catalogue.product import Product
from domain.ids import ProductId


@frozen(kw_only=True, slots=False)
class CatalogueUseCases:
    get_product: Callable[[Principal, ProductId], Awaitable[Product]]
    list_products: Guarded[..., Sequence[Product | BrokenProduct]]
    products_by_name: Guarded[..., Sequence[Product]]
    count_products: Guarded[..., int]
    add_products: Callable[[Principal, Sequence[NewProduct | Keyed[NewProduct]]], Awaitable[Sequence[ProductOutcome]]]
    change_product: Callable[[Principal, ProductCall], Awaitable[Product]]
    adjust_stock: Callable[[Principal, Sequence[StockCall | Keyed[StockCall]]], Awaitable[Sequence[ProductOutcome]]]
    list_adjustments: Guarded[..., Sequence[RecordedAdjustment]]
    list_stock: Guarded[..., Sequence[Stocked | BrokenProduct]]
    see_stock: Callable[[Principal, ProductId], Awaitable[Stocked]]


def catalogue_use_cases(shared: Shared) -> CatalogueUseCases:
    ports, limits, uow, now = shared.ports, shared.limits, shared.uow, shared.ports.now
    count_left = CircuitBreaker(CountLeft(uow), seconds=limits.database_timeout, pause=limits.breaker_pause)
    pages = ReadPages(uow, ports.catalogue_cache, ports.cache_fence, ReadStock(ports.stock_cache, count_left))
    return CatalogueUseCases(
        get_product=Guarded(None, for_anybody(shared.get_product)),
        list_products=Guarded(None, for_anybody(ListProducts(shared.batches(pages)))),
        products_by_name=Guarded(None, ProductsByName(shared.batches(FindByName(uow)), AddProducts(uow, now))),
        count_products=Guarded(None, for_anybody(CountProducts(uow))),
        add_products=Guarded(Scope.PRODUCTS_WRITE, AddProducts(uow, now)),
        change_product=Guarded(Scope.PRODUCTS_WRITE, ChangeProduct(uow, now, ports.price_list)),
        adjust_stock=Guarded(Scope.STOCK_ADJUST, AdjustStock(uow, now)),
        list_adjustments=Guarded(Scope.STOCK_ADJUST, ListAdjustments(uow)),
        list_stock=Guarded(Scope.STOCK_ADJUST, ListStock(uow)),
        see_stock=Guarded(Scope.STOCK_ADJUST, SeeStock(uow)),
    )
