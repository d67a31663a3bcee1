"""Whether every event of the feed is accounted for, for every receiver of webhooks."""

from collections.abc import AsyncIterator
from typing import Final

from attrs import frozen

from application.errors import BrokenRow
from application.ports.feed import FED_TYPES, FeedFilter, FeedRange, Position, types_among
from application.ports.persistence import Transaction, UnitOfWork
from application.reconciliation.discrepancies import Discrepancy
from domain.ids import MAX_ID, EndpointId
from domain.webhooks.endpoint import Endpoint
from domain.webhooks.progress import Progress

_PAGE: Final = 200


@frozen
class CompareWebhooks:
    """Compare the deliveries of each endpoint with the feed up to where the endpoint is.

    Delivered, undelivered and filtered events together are all that the feed had. The shop may run meanwhile: the
    progress of an endpoint is locked while it is compared, for which its sender waits.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self) -> list[Discrepancy]:
        found, after = [], None
        while True:
            async with self._unit_of_work.reading() as tx:
                ids = await tx.webhook_progress.ids(after=after, limit=_PAGE)
            for id_ in ids:
                async with self._unit_of_work() as tx:
                    try:
                        found += [Discrepancy(about="webhook", what=what) async for what in _of_endpoint(tx, id_)]
                    except BrokenRow as error:
                        found.append(Discrepancy(about="broken", what=str(error)))
            if len(ids) < _PAGE:
                return found
            after = ids[-1]


async def _of_endpoint(tx: Transaction, id_: EndpointId) -> AsyncIterator[str]:
    progress = (await tx.webhook_progress.get_many({id_}, lock=True)).get(id_)
    endpoint = (await tx.webhook_endpoints.get_many({id_})).get(id_)
    if progress is None or endpoint is None:
        yield f"endpoint {id_} is not there, or nobody knows how far it is"
        return
    deliveries = tx.webhook_deliveries
    began, position = progress.began_after, progress.position
    kept = await deliveries.count(id_, after=began, until=position)
    told = {
        "deliveries": kept,
        "filtered": progress.filtered,
        "not readable": progress.lost,
        "removed": progress.removed,
    }
    if sum(told.values()) != position - began:
        words = ", ".join(f"{number} {what}" for what, number in told.items())
        yield f"endpoint {id_} is at position {position} and began after {began}, and accounts for {words}"
    if ahead := await deliveries.count(id_, after=position, until=MAX_ID):
        yield f"endpoint {id_} is at position {position}, and has {ahead} deliveries above it"
    async for what in _of_choice(tx, endpoint, progress):
        yield what


async def _of_choice(tx: Transaction, endpoint: Endpoint, progress: Progress) -> AsyncIterator[str]:
    """Compare what the endpoint wants with what it has, as far as it has wanted the same, and the feed is kept."""
    if endpoint.version != progress.chosen_by:
        return
    bounds = await tx.feed.bounds()
    after = max(progress.chosen_after, progress.removed_to, bounds.oldest - 1)
    # A database that was restored may have given fewer positions than the endpoint has seen.
    until = min(progress.position, bounds.newest)
    if until <= after:
        return
    only = FeedFilter(types=types_among(FED_TYPES, endpoint.events))
    wanted = await tx.feed.count(FeedRange(after=Position(after), until=Position(until), only=only))
    has = await tx.webhook_deliveries.count(endpoint.id, after=after, until=until)
    if wanted != has:
        yield (
            f"endpoint {endpoint.id} wants {wanted} of the events from position {after + 1} to {until},"
            f" and has {has} deliveries of them"
        )
