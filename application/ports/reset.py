"""The shop as a whole, and emptying it."""

from datetime import datetime
from typing import Protocol

from application.ports.audit import AuditEntry


class ResetData(Protocol):
    """Removes all orders from the database, and everything that is about orders or waits to be done."""

    async def __call__(self, noted: AuditEntry) -> int:
        """Do it in one transaction, as of the moment of the entry, which is written with the number of orders.

        Return this number.

        Products stay, with all units in stock that were counted in; so do API keys and the audit. No position of the
        feed is given again: a reader that has read up to one hears that it is not kept. Raise `Aborted`.
        """


class Shop(Protocol):
    """What is true of the shop as a whole."""

    async def secret(self) -> bytes:
        """32 random bytes that only this database has, and what may read it. Raise `Unavailable` before a migration."""

    async def emptied_at(self) -> datetime | None:
        """The last time. None if it never was.

        A transaction that has written orders reads this as it will stay until its end: whoever empties the shop waits.
        """
