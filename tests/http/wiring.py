from collections.abc import Sequence

from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders
from application.catalogue.get_product import GetProduct
from application.catalogue.list_products import ListProducts
from application.execution.batching import Batched
from application.intake.order_intake import DirectIntake
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.orders.list_orders import ListOrders
from application.ports.caching import RecentOrders
from entrypoints.health import ServerHealth
from entrypoints.http.services import Services
from tests.unit.shop import Shop


def services_of(shop: Shop, servers: Sequence[ServerHealth] = (), *, recent: RecentOrders | None = None) -> Services:
    """What the container makes, over memory. `servers` is what a look at them finds."""

    async def check_health() -> Sequence[ServerHealth]:
        return servers

    recent = recent or MemoryRecentOrders()
    unrecorded = Unrecorded(recent, MemoryRecentOrders())
    return Services(
        place_order=DirectIntake(shop.number, Batched(shop.place_numbered)),
        request_payment=Batched(TellUnrecorded(shop.request_payment, unrecorded)),
        cancel_order=Batched(TellUnrecorded(shop.cancel_order, unrecorded)),
        complete_order=Batched(TellUnrecorded(shop.complete_order, unrecorded)),
        request_refund=Batched(TellUnrecorded(shop.request_refund, unrecorded)),
        delete_order=Batched(TellUnrecorded(shop.delete_order, unrecorded)),
        get_order=Batched(GetOrder(shop.unsteady, recent, unrecorded)),
        list_orders=ListOrders(shop.unsteady, recent),
        list_products=ListProducts(shop.unsteady, MemoryCatalogueCache()),
        get_product=Batched(GetProduct(shop.unsteady)),
        get_history=GetHistory(shop.unsteady, recent, unrecorded),
        check_health=check_health,
    )
