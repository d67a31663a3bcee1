"""Everything that the use cases need of the world. Adapters stand behind these names.

Whatever is written here is set-based: one call for a whole batch. An adapter that can't reach its server raises
`Unavailable`; one whose transaction was rolled back, and may well succeed when it is tried again, raises `Aborted`.
"""

from application.ports.basics import Aborted, Clock, NewId, Unavailable
from application.ports.caches import CatalogueCache, CataloguePage, PriceList, RecentOrders
from application.ports.messaging import (
    DeadDelivery,
    DeadLetterQueue,
    Delivery,
    EventPublisher,
    EventQueue,
    IntakeQueue,
    OutboxSignal,
)
from application.ports.provider import Charge, PaymentDeclined, PaymentGateway, ProviderRecord
from application.ports.repositories import (
    DeadLetters,
    Events,
    IdempotencyKeys,
    Inbox,
    OrderConflict,
    Orders,
    Outbox,
    OutboxEntry,
    Payments,
    Products,
    StockAdjustments,
    StockCount,
    Transaction,
    UnitOfWork,
)

__all__ = [
    "Aborted",
    "CatalogueCache",
    "CataloguePage",
    "Charge",
    "Clock",
    "DeadDelivery",
    "DeadLetterQueue",
    "DeadLetters",
    "Delivery",
    "EventPublisher",
    "EventQueue",
    "Events",
    "IdempotencyKeys",
    "Inbox",
    "IntakeQueue",
    "NewId",
    "OrderConflict",
    "Orders",
    "Outbox",
    "OutboxEntry",
    "OutboxSignal",
    "PaymentDeclined",
    "PaymentGateway",
    "Payments",
    "PriceList",
    "Products",
    "ProviderRecord",
    "RecentOrders",
    "StockAdjustments",
    "StockCount",
    "Transaction",
    "Unavailable",
    "UnitOfWork",
]
