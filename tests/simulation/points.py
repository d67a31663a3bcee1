"""Where a process may stop: before and after every call of every port."""

from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from attrs import field, frozen

from application.ports import caching, carts, messaging, payments, webhooks
from application.ports.persistence import Transaction

DATABASE: Final = "the database"
BROKER: Final = "the broker"


@frozen
class Call:
    """A method of a port, by its name, and the two points beside it."""

    name: str
    before: str = field(init=False)
    after: str = field(init=False)
    # The server that answers it, if it may be away.
    server: str = field(init=False)
    # Whether it may have happened all the same when there is no answer. What is said in a transaction is rolled back.
    may_have_happened: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Put together once, and not at each of the many calls.
        object.__setattr__(self, "before", f"{self.name} before")
        object.__setattr__(self, "after", f"{self.name} after")
        port = self.name.split(".")[0]
        object.__setattr__(self, "server", _SERVERS.get(port, ""))
        object.__setattr__(self, "may_have_happened", self.name == "unit_of_work.commit" or port in PORTS)


REPOSITORIES: Final[dict[str, type]] = {
    name: get_type_hints(member.fget)["return"]
    for name, member in vars(Transaction).items()
    if isinstance(member, property) and member.fget is not None
}

# The ports beside the unit of work, under the names by which the crash points call them.
PORTS: Final[dict[str, type]] = {
    "recent_orders": caching.RecentOrders,
    "accepted_changes": caching.AcceptedChanges,
    "catalogue_cache": caching.CatalogueCache,
    "stock_cache": caching.StockCache,
    "carts": carts.Carts,
    "price_list": caching.PriceList,
    "publisher": messaging.EventPublisher,
    "intake_queue": messaging.IntakeQueue,
    "queue": messaging.Subscription,
    "dead_letter_queue": messaging.DeadLetterQueue,
    "gateway": payments.PaymentProvider,
    "signal": messaging.OutboxSignal,
    "webhooks": webhooks.WebhookTransport,
}

_SERVERS: Final = {
    "unit_of_work": DATABASE,
    **dict.fromkeys(REPOSITORIES, DATABASE),
    **dict.fromkeys(("publisher", "intake_queue", "queue", "dead_letter_queue"), BROKER),
}

# No process of the service calls these, and no process that runs here can end at them. What is missing in this list
# and never called is found by the tests.
_NOT_CALLED: Final = {
    # Only customers with carts, who have runs of their own.
    "carts.get",
    "carts.change",
    # Only the consistency checks.
    "stock_adjustments.totals",
    # Only requests about endpoints and deliveries, which are as those about keys.
    *(f"webhook_endpoints.{method}" for method in ("add_many", "page", "count")),
    "webhook_progress.add_many",
    *(f"webhook_deliveries.{method}" for method in ("attempts", "of_order", "page")),
    # Only what is a month old.
    "webhook_deliveries.remove",
    # Only a shop that keeps no positions for good.
    "feed.prune",
    # Only lists that are to be counted. A count is shown, and nothing is decided by it.
    *(f"{name}.count" for name in ("products", "jobs")),
    # Only a person who looks for an order by a part of its id.
    "orders.ids_between",
    # Only requests about the audit.
    "audit.page",
    # Only browsers in the console, and what is left of them after two days.
    *(f"ended_sessions.{method}" for method in ("add_many", "among", "remove")),
    # Only requests that carry an API key, and those about keys. The clients here are let in without one.
    *(f"api_keys.{method}" for method in ("add_many", "get_many", "save_many", "note_use", "page")),
}


def methods(port: type) -> list[str]:
    return [name for name, member in vars(port).items() if isinstance(member, Callable) and not name.startswith("_")]


def _calls() -> Iterator[str]:
    yield from ("unit_of_work.begin", "unit_of_work.commit", "unit_of_work.read")
    for name, port in {**REPOSITORIES, **PORTS}.items():
        yield from (f"{name}.{method}" for method in methods(port))


CRASH_POINTS: Final = tuple(
    f"{call} {when}" for call in _calls() if call not in _NOT_CALLED for when in ("before", "after")
)

# Each crash point has its own run in every this many seeds. A run may miss its point; a point that no run hits is out
# of reach.
MOST_ROUNDS: Final = 80


def implementing(name: str, port: type, wrap: Callable[[str, Call], Callable[..., Any]]) -> dict[str, Any]:
    """The methods of a class that stands in for a port, each made by `wrap` from its name and its points."""
    return {method: wrap(method, Call(f"{name}.{method}")) for method in methods(port)}
