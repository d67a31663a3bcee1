"""The screens that the console's navigation leads to. A screen that stands here is shown to whoever may use it."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.operations.bulk import LOOKS


@frozen
class Entry:
    """A screen in the navigation. One of the scopes is needed. `key` is pressed after `g` to go there."""

    title: str
    path: str
    needs: Scope | frozenset[Scope]
    key: str


@frozen
class Group:
    title: str
    entries: Sequence[Entry]


NAVIGATION: Final[Sequence[Group]] = (
    Group(
        "Watch",
        (
            Entry("Now", "/console/now", Scope.ORDERS_READ, "n"),
            Entry("Orders", "/console/orders", Scope.ORDERS_READ, "o"),
            Entry("Flow", "/console/flow", Scope.ORDERS_READ, "f"),
        ),
    ),
    Group(
        "Failures",
        (
            Entry("Dead letters", "/console/dead-letters", Scope.DEAD_LETTERS_REPLAY, "d"),
            Entry("Bulk operations", "/console/bulk-operations", frozenset(LOOKS.values()), "b"),
            Entry("Reconcile", "/console/reconciliations", Scope.RECONCILE, "r"),
        ),
    ),
    Group(
        "Deliver",
        (
            Entry("Webhooks", "/console/webhooks", Scope.WEBHOOKS_WRITE, "w"),
            Entry("Jobs", "/console/jobs", Scope.ORDERS_READ, "j"),
            Entry("Messages", "/console/messages", Scope.ORDERS_READ, "m"),
        ),
    ),
    Group(
        "Keep",
        (
            Entry("Stock", "/console/stock", Scope.STOCK_ADJUST, "s"),
            Entry("Audit", "/console/audit", Scope.AUDIT_READ, "a"),
            Entry("Keys", "/console/keys", Scope.KEYS_WRITE, "k"),
        ),
    ),
)


def navigation_for(by: Principal) -> list[Group]:
    """Return the screens that the caller may use. Customers have none: the console is for those who run the shop."""
    if by.user_id is not None:
        return []
    shown = [Group(group.title, [each for each in group.entries if _may(by, each.needs)]) for group in NAVIGATION]
    return [group for group in shown if group.entries]


def _may(by: Principal, needs: Scope | frozenset[Scope]) -> bool:
    return not by.scopes.isdisjoint({needs} if isinstance(needs, Scope) else needs)
