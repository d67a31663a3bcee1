"""What the changes of an endpoint share: its lock, and the end of its rest."""

from collections.abc import Callable

from application.ports.persistence import Transaction
from domain.ids import EndpointId
from domain.webhooks.endpoint import Endpoint, UnknownEndpoint
from domain.webhooks.progress import Progress


async def locked(tx: Transaction, id_: EndpointId) -> Endpoint:
    """Return the endpoint, locked. Raise `UnknownEndpoint`."""
    endpoint = (await tx.webhook_endpoints.get_many({id_}, lock=True)).get(id_)
    if endpoint is None or endpoint.deleted_at is not None:
        raise unknown_endpoint(id_)
    return endpoint


async def end_rest(tx: Transaction, id_: EndpointId) -> None:
    """Let the next round try at once."""
    await _change(tx, id_, Progress.end_rest)


async def begin_anew(tx: Transaction, id_: EndpointId) -> None:
    """Let the next round try at once, and count from then on for how long the receiver fails."""
    await _change(tx, id_, Progress.begin_anew)


async def _change(tx: Transaction, id_: EndpointId, change: Callable[[Progress], None]) -> None:
    found = await tx.webhook_progress.get_many({id_}, lock=True)
    for progress in found.values():
        change(progress)
    await tx.webhook_progress.save_many(list(found.values()))


def unknown_endpoint(id_: EndpointId) -> UnknownEndpoint:
    return UnknownEndpoint(f"there is no webhook endpoint {id_}, or it was deleted")
