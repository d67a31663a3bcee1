"""Holdfast without its feed, to measure what the feed costs. `python -m bench.unfed COMMAND` is `holdfast COMMAND`.

No event is queued for a position, and the relay gives none. The product can't be told to: everybody who follows a shop
goes by the feed.
"""

from typing import Final

from adapters.sql.core.bulk import BulkStatement
from adapters.sql.repositories import events
from adapters.sql.repositories.outbox import ENTRY_WRITTEN
from adapters.sql.tables.events import order_events, outbox
from application.feed.give_positions import GivePositions
from entrypoints.cli.main import main

_WITHOUT_QUEUE: Final = BulkStatement(
    order_events,
    events.WRITTEN,
    lambda new, dialect: dialect.inserts.into_all(new, order_events, {outbox: tuple(ENTRY_WRITTEN)}),
)


async def _give_none(_: GivePositions) -> int:
    return 0


if __name__ == "__main__":
    events.INSERT_AND_ANNOUNCE = _WITHOUT_QUEUE  # type: ignore[misc]  # it is final for the product
    GivePositions.__call__ = _give_none  # type: ignore[assignment,method-assign]  # as above
    main()
