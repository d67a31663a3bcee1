"""How endpoints stand: how far each is in the feed."""

from collections.abc import AsyncIterator, Sequence

from attrs import frozen

from application.errors import BrokenRow
from application.ports.broken import BrokenEndpoint
from application.ports.persistence import Transaction
from application.webhooks.changing import unknown_endpoint
from domain.ids import EndpointId
from domain.webhooks.endpoint import Endpoint
from domain.webhooks.progress import Progress


@frozen
class Standing:
    """An endpoint, how far it is, and the last position of the feed."""

    endpoint: Endpoint
    progress: Progress
    newest: int

    @property
    def id(self) -> EndpointId:
        return self.endpoint.id


async def each_standing(
    tx: Transaction, found: Sequence[Endpoint | BrokenEndpoint]
) -> AsyncIterator[Standing | BrokenEndpoint]:
    """Yield how each endpoint stands, or that it, or how far it is, can't be read."""
    newest = (await tx.feed.bounds()).newest
    ids = [each.id for each in found]
    try:
        progress = await tx.webhook_progress.get_many(ids)
    except BrokenRow:
        progress = None
    for each in found:
        if isinstance(each, BrokenEndpoint):
            yield each
            continue
        try:
            far = (await tx.webhook_progress.get_many([each.id]) if progress is None else progress).get(each.id)
        except BrokenRow as error:
            yield BrokenEndpoint(each.id, str(error))
            continue
        if far is not None:
            yield Standing(each, far, newest)


async def standing_of(tx: Transaction, id_: EndpointId) -> Standing:
    endpoint = (await tx.webhook_endpoints.get_many({id_})).get(id_)
    progress = (await tx.webhook_progress.get_many({id_})).get(id_)
    if endpoint is None or progress is None or endpoint.deleted_at is not None:
        raise unknown_endpoint(id_)
    return Standing(endpoint, progress, (await tx.feed.bounds()).newest)
