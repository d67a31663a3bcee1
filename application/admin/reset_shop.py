from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.execution.retry_conflicts import Retrying
from application.ports.audit import AuditEntry
from application.ports.environment import Clock
from application.ports.reset import ResetData
from domain.errors import DomainError

# Requests in progress hold their rows for moments, and this waits for all of them at once. In seconds.
_PATIENCE: Final = 8.0
_PAUSE: Final = 0.2

# Empties what is not the database. Raises `Trouble`.
Empty = Callable[[], Awaitable[None]]


class ResetNotAllowed(DomainError):
    """The shop is not to be emptied."""

    code = "reset_not_allowed"


class ResetNotConfirmed(DomainError):
    """The request names another shop."""

    code = "reset_not_confirmed"


@frozen
class ResetShop:
    """Remove all orders, and everything that is about orders or waits to be done: for trials, never for a live shop.

    The database comes first. What is in the queues afterwards, or in the hands of a worker, names orders that are not
    there any more. Then nothing is done, and an order that was accepted before is not recorded.
    """

    _reset_data: ResetData
    _empty_queues: Empty
    _forget_caches: Empty
    _now: Clock
    _namespace: str
    _is_allowed: bool

    async def __call__(self, by: Principal, confirm: str) -> int:
        """Return how many orders there were. `confirm` is the namespace of the shop.

        It is safe to do it again after an error. Raise `ResetNotAllowed`, `ResetNotConfirmed` or `Trouble`.
        """
        if not self._is_allowed:
            raise ResetNotAllowed("this shop can't be emptied: HOLDFAST_ALLOW_RESET is not set")
        if confirm != self._namespace:
            raise ResetNotConfirmed("confirm is the namespace of this shop: HOLDFAST_NAMESPACE", field="confirm")
        orders = await Retrying(self._empty_database, seconds=_PATIENCE, pause=_PAUSE)(by)
        await self._empty_queues()
        await self._forget_caches()
        return orders

    async def _empty_database(self, by: Principal) -> int:
        return await self._reset_data(AuditEntry(at=self._now(), by=caller_of(by), action="shop.reset", subject="shop"))
