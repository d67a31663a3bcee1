from collections.abc import Collection, Sequence
from uuid import UUID

from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders, MemoryStockCache
from adapters.memory.signal import MemoryOutboxSignal
from adapters.memory.unit_of_work import MemoryUnitOfWork
from application.access.principal import SYSTEM
from application.execution.after_commit import PropagateChanges
from application.intake.unrecorded import Unrecorded
from application.orders.cancel_order import CancelOrder
from application.orders.delete_order import DeleteOrder
from application.orders.find_by_id_part import FindByIdPart, IdPart
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.orders.list_orders import ListOrders, ReadOrders
from application.payments.request_payment import RequestPayment
from application.ports.caching import RecentOrders
from application.ports.persistence import UnitOfWork
from domain.errors import UnknownOrder
from domain.ids import OrderId, UserId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.shop import Shop, accepted

UNKNOWN_ORDER = OrderId(UUID(int=404))


class NoRecentOrders:
    """A cache that is gone: it finds and keeps nothing."""

    async def get_accepted(self, _: Collection[OrderId]) -> dict[OrderId, Order]:
        return {}

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        return {}

    async def put_many(self, orders: Sequence[Order]) -> bool:
        """Nothing is kept."""
        return True


def finding(unit_of_work: UnitOfWork, recent: RecentOrders) -> GetOrder:
    return GetOrder(unit_of_work, recent, nothing_queued(recent), NoCacheFence())


def nothing_queued(recent: RecentOrders) -> Unrecorded:
    return Unrecorded(recent, MemoryRecentOrders())


async def test_orders_are_found_without_a_cache(shop: Shop) -> None:
    pen = await shop.sells()
    one, two = await shop.order((pen, 1)), await shop.order((pen, 2))
    outcomes = await finding(shop.unit_of_work, NoRecentOrders())([two.id, UNKNOWN_ORDER, one.id, two.id])
    assert [outcomes[0], outcomes[2], outcomes[3]] == [two, one, two]
    assert isinstance(outcomes[1], UnknownOrder)


async def test_recent_orders_are_read_before_the_database(shop: Shop) -> None:
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    await recent.put_many([order])
    del shop.store.orders[order.id]
    assert await finding(shop.unit_of_work, recent)([order.id]) == [order]
    shop.store.orders[order.id] = order


async def test_recent_orders_and_others_are_found_together(shop: Shop) -> None:
    pen, recent = await shop.sells(), MemoryRecentOrders()
    one, two = await shop.order((pen, 1)), await shop.order((pen, 2))
    await recent.put_many([one])
    assert await finding(shop.unit_of_work, recent)([one.id, two.id]) == [one, two]


async def test_what_was_read_from_the_database_is_recent_then(shop: Shop) -> None:
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    await finding(shop.unit_of_work, recent)([order.id, UNKNOWN_ORDER])
    assert await recent.get_many({order.id, UNKNOWN_ORDER}) == {order.id: order}


async def test_a_deleted_order_is_not_found_even_if_it_is_cached(shop: Shop) -> None:
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    deleted = accepted((await shop.delete_order([order.id]))[0])
    for remembered in ([], [deleted]):
        await recent.put_many(remembered)
        [outcome] = await finding(shop.unit_of_work, recent)([order.id])
        assert isinstance(outcome, UnknownOrder)


async def test_a_slow_reader_does_not_bring_an_old_version_back(shop: Shop) -> None:
    """A slow reader: it read the database before a change, and puts the order into the cache after it."""
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    cancelled = accepted((await shop.cancel_order([order.id]))[0])
    await recent.put_many([cancelled])
    await recent.put_many([order])
    assert await finding(shop.unit_of_work, recent)([order.id]) == [cancelled]


async def test_a_client_reads_its_own_write_at_once(shop: Shop) -> None:
    recent = MemoryRecentOrders()
    told = MemoryUnitOfWork(
        shop.store,
        PropagateChanges(recent, MemoryCatalogueCache(), MemoryStockCache(), NoCacheFence(), MemoryOutboxSignal()),
    )
    get_order, order = finding(told, recent), await shop.order((await shop.sells(), 1))
    assert await get_order([order.id]) == [order]

    [cancelled] = await CancelOrder(told, shop.clock)([order.id])
    assert await get_order([order.id]) == [cancelled]

    await DeleteOrder(told, shop.clock)([order.id])
    [outcome] = await get_order([order.id])
    assert isinstance(outcome, UnknownOrder)


async def test_an_answer_that_changes_nothing_is_not_followed_by_an_older_one(shop: Shop) -> None:
    """The first request was committed, and the cache was not updated, because its process died."""
    recent = MemoryRecentOrders()
    told = MemoryUnitOfWork(
        shop.store,
        PropagateChanges(recent, MemoryCatalogueCache(), MemoryStockCache(), NoCacheFence(), MemoryOutboxSignal()),
    )
    order = await shop.order((await shop.sells(), 1))
    await recent.put_many([order])
    await shop.request_payment([order.id])

    [again] = await RequestPayment(told, shop.clock)([order.id])
    assert await finding(told, recent)([order.id]) == [again]


async def test_after_an_order_was_listed_no_older_version_is_read(shop: Shop) -> None:
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    await recent.put_many([order])
    await shop.cancel_order([order.id])
    listed = await ListOrders(ReadOrders(shop.unit_of_work, recent))(SYSTEM, limit=10)
    assert await finding(shop.unit_of_work, recent)([order.id]) == listed


async def test_after_an_order_was_found_by_a_part_of_its_id_no_older_version_is_read(shop: Shop) -> None:
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    await recent.put_many([order])
    await shop.cancel_order([order.id])
    found = await FindByIdPart(shop.unit_of_work, recent)(SYSTEM, IdPart(str(order.id)), limit=10)
    assert await finding(shop.unit_of_work, recent)([order.id]) == found.orders


async def test_after_a_history_was_read_no_older_version_is_read(shop: Shop) -> None:
    order, recent = await shop.order((await shop.sells(), 1)), MemoryRecentOrders()
    await recent.put_many([order])
    await shop.cancel_order([order.id])
    [*_, last] = await GetHistory(shop.unit_of_work, recent, nothing_queued(recent))(order.id)
    [found] = await finding(shop.unit_of_work, recent)([order.id])
    assert found.version == last.sequence


async def test_orders_are_listed_newest_first_page_by_page(shop: Shop) -> None:
    pen = await shop.sells()
    orders = [await shop.order((pen, 1)) for _ in range(5)]
    list_orders = ListOrders(ReadOrders(shop.unit_of_work, MemoryRecentOrders()))

    first = await list_orders(SYSTEM, limit=2)
    newest = await shop.order((pen, 1))
    second = await list_orders(SYSTEM, before=first[-1].id, limit=2)
    third = await list_orders(SYSTEM, before=second[-1].id, limit=2)

    assert [*first, *second, *third] == orders[::-1]
    assert (await list_orders(SYSTEM, limit=1)) == [newest]
    assert await list_orders(SYSTEM, before=third[-1].id, limit=2) == []


async def test_orders_are_listed_by_customer_and_status_without_the_deleted(shop: Shop) -> None:
    pen = await shop.sells()
    hers = [await shop.order((pen, 1), user_id=1) for _ in range(4)]
    his = await shop.order((pen, 1), user_id=2)
    await shop.delete_order([hers[0].id])
    await shop.cancel_order([hers[1].id, his.id])
    list_orders = ListOrders(ReadOrders(shop.unit_of_work, MemoryRecentOrders()))

    async def ids(user: int | None = None, status: OrderStatus | None = None) -> list[OrderId]:
        user_id = None if user is None else UserId(user)
        return [order.id for order in await list_orders(SYSTEM, user_id=user_id, status=status, limit=10)]

    assert await ids(user=1) == [hers[3].id, hers[2].id, hers[1].id]
    assert await ids(status=OrderStatus.CANCELLED) == [his.id, hers[1].id]
    assert await ids(user=1, status=OrderStatus.CANCELLED) == [hers[1].id]
    assert await ids(user=3) == []
    assert await ids() == [his.id, hers[3].id, hers[2].id, hers[1].id]
