"""Register, read, change and delete the receivers of webhooks."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.errors import BrokenRow
from application.ports.broken import BrokenEndpoint
from application.ports.environment import Clock, NewId, NewSecret
from application.ports.persistence import Transaction, UnitOfWork
from application.ports.webhooks import Attempt, WebhookMessages, WebhookTransport
from application.webhooks.auditing import entry, shown
from application.webhooks.destinations import Allowed
from application.webhooks.validity import expect_valid
from domain.errors import IllegalTransition
from domain.ids import EndpointId
from domain.webhooks.delivery import Undelivered
from domain.webhooks.endpoint import (
    LONGEST_OVERLAP,
    Disabled,
    Endpoint,
    InvalidEndpoint,
    Ordering,
    Payload,
    Secret,
    Signature,
    TooManyEndpoints,
    UnknownEndpoint,
)
from domain.webhooks.progress import Progress, begun_after

MOST_ENDPOINTS: Final = 1000


@frozen(kw_only=True)
class NewEndpoint:
    """A receiver that somebody registers."""

    url: str
    events: tuple[str, ...]
    description: str = ""
    payload: Payload = Payload.FULL
    ordering: Ordering = Ordering.STRICT
    signature: Signature = Signature.V1
    headers: Mapping[str, str] = field(factory=dict)
    rate_per_s: int | None = None
    max_concurrency: int = 4


@frozen
class Standing:
    """An endpoint, how far it is, and the last position of the feed."""

    endpoint: Endpoint
    progress: Progress
    newest: int

    @property
    def id(self) -> EndpointId:
        return self.endpoint.id


@frozen
class WithSecret:
    """An endpoint with the secret that was made for it, which is told now and never again."""

    standing: Standing
    secret: str


@frozen
class AddEndpoint:
    """Register a receiver. It gets what happens from now on. Raise `InvalidEndpoint` or `TooManyEndpoints`."""

    _unit_of_work: UnitOfWork
    _messages: WebhookMessages
    _new_id: NewId
    _new_secret: NewSecret
    _now: Clock
    _allowed: Allowed

    async def __call__(self, by: Principal, new: NewEndpoint) -> WithSecret:
        secret, now = self._messages.new_secret(self._new_secret()), self._now()
        endpoint = Endpoint(
            id=EndpointId(self._new_id()),
            url=new.url,
            description=new.description,
            events=new.events,
            payload=new.payload,
            ordering=new.ordering,
            signature=new.signature,
            headers=new.headers,
            rate_per_s=new.rate_per_s,
            max_concurrency=new.max_concurrency,
            secrets=(Secret(secret),),
            created_at=now,
        )
        expect_valid(endpoint, self._allowed, has_keys=bool(self._messages.public_keys()))
        async with self._unit_of_work() as tx:
            if await tx.webhook_endpoints.count() >= MOST_ENDPOINTS:
                raise TooManyEndpoints(f"there are {MOST_ENDPOINTS} endpoints already: delete one of them")
            newest = (await tx.feed.bounds()).newest
            progress = begun_after(endpoint.id, newest)
            await tx.webhook_endpoints.add_many([endpoint])
            await tx.webhook_progress.add_many([progress])
            await tx.audit.add_many([entry(by, "created", endpoint, now)])
        return WithSecret(Standing(endpoint, progress, newest), secret)


@frozen
class ListEndpoints:
    """A page of the receivers, by id, without deleted ones."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _: Principal, *, after: EndpointId | None = None, limit: int
    ) -> Sequence[Standing | BrokenEndpoint]:
        async with self._unit_of_work.reading() as tx:
            return [each async for each in each_standing(tx, await tx.webhook_endpoints.page(after=after, limit=limit))]


@frozen
class GetEndpoint:
    """Read one receiver. Raise `UnknownEndpoint`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: EndpointId) -> Standing:
        async with self._unit_of_work.reading() as tx:
            return await _standing(tx, id_)


@frozen
class ChangeEndpoint:
    """Change what is named in `changes`. Raise `UnknownEndpoint` or `InvalidEndpoint`.

    Events that the endpoint was not sent yet are chosen by what it wants when their turn comes. With another URL, or
    with other headers, a rest is over: it was that of what answered before.
    """

    _unit_of_work: UnitOfWork
    _messages: WebhookMessages
    _now: Clock
    _allowed: Allowed

    async def __call__(self, by: Principal, id_: EndpointId, changes: Mapping[str, Any]) -> Standing:
        async with self._unit_of_work() as tx:
            endpoint = await locked(tx, id_)
            before = evolve(endpoint)
            changed = {name for name, value in changes.items() if name == "enabled" or getattr(endpoint, name) != value}
            for name, value in changes.items():
                if name == "events":
                    endpoint.want(value)
                elif name == "enabled":
                    _switch(endpoint, on=value, at=self._now())
                else:
                    setattr(endpoint, name, value)
            expect_valid(endpoint, self._allowed, has_keys=bool(self._messages.public_keys()), changed=changed)
            await tx.webhook_endpoints.save_many([endpoint])
            if not endpoint.is_asked_like(before):
                await end_rest(tx, id_)
            if endpoint != before:
                await tx.audit.add_many([entry(by, "changed", endpoint, self._now(), shown(before))])
            return await _standing(tx, id_)


def _switch(endpoint: Endpoint, *, on: bool, at: datetime) -> None:
    if not on:
        endpoint.disable(Disabled.BY_HAND, at=at)
    elif not endpoint.is_served:
        raise IllegalTransition("an endpoint is enabled by POST .../enable, which says where it goes on")


@frozen
class ListSigningKeys:
    """Return the public keys of the shop, by which receivers check signatures of the kind `v1a`, the newest first."""

    _messages: WebhookMessages

    async def __call__(self, _: Principal) -> Sequence[str]:
        return self._messages.public_keys()


@frozen
class RotateSecret:
    """Sign with a new secret, and with the one before until some time has passed.

    Raise `UnknownEndpoint` or `InvalidEndpoint`.
    """

    _unit_of_work: UnitOfWork
    _messages: WebhookMessages
    _new_secret: NewSecret
    _now: Clock

    async def __call__(self, by: Principal, id_: EndpointId, *, previous_valid_for: timedelta) -> WithSecret:
        if not timedelta(0) <= previous_valid_for <= LONGEST_OVERLAP:
            raise InvalidEndpoint("the previous secret is valid for 0 to 7 days", field="previous_valid_for")
        secret, now = self._messages.new_secret(self._new_secret()), self._now()
        async with self._unit_of_work() as tx:
            endpoint = await locked(tx, id_)
            endpoint.rotate(secret, at=now, previous_until=now + previous_valid_for)
            await tx.webhook_endpoints.save_many([endpoint])
            await tx.audit.add_many([entry(by, "secret_rotated", endpoint, now)])
            return WithSecret(await _standing(tx, id_), secret)


@frozen
class TestEndpoint:
    """Send `webhook.ping` to the endpoint now, also to one that is disabled. If it arrives, a rest is over.

    Raise `UnknownEndpoint`.
    """

    _unit_of_work: UnitOfWork
    _transport: WebhookTransport
    _messages: WebhookMessages
    _new_id: NewId
    _now: Clock

    async def __call__(self, _: Principal, id_: EndpointId) -> Attempt:
        async with self._unit_of_work.reading() as tx:
            endpoint = (await _standing(tx, id_)).endpoint
        # Nobody waits for it in a transaction.
        attempt = await self._transport.send(self._messages.ping(endpoint, id_=self._new_id(), at=self._now()))
        if attempt.failure is None:
            async with self._unit_of_work() as tx:
                await end_rest(tx, id_)
        return attempt


# Where an endpoint goes on that was disabled: with what is new, where it stopped, or after a position.
NOW: Final = "now"
WHERE_IT_STOPPED: Final = "where_it_stopped"


@frozen
class EnableEndpoint:
    """Send to the endpoint again. What it does not get, since it goes on later, is listed as skipped.

    Raise `UnknownEndpoint`, `InvalidEndpoint`, or `IllegalTransition` for one that is enabled.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, id_: EndpointId, *, resume_from: str | int) -> Standing:
        async with self._unit_of_work() as tx:
            endpoint = await locked(tx, id_)
            endpoint.enable()
            progress = (await tx.webhook_progress.get_many({id_}, lock=True))[id_]
            newest = (await tx.feed.bounds()).newest
            match resume_from:
                case int():
                    if not progress.position <= resume_from <= newest:
                        raise InvalidEndpoint(
                            f"the endpoint stopped at position {progress.position}, and {newest} is the newest: it can"
                            " go on between the two. What it missed earlier is sent again by POST .../recover",
                            field="resume_from",
                        )
                    progress.skip_to = resume_from
                case str() if resume_from == NOW:
                    progress.skip_to = newest
                case _:
                    # An earlier choice to go on later may not be carried out yet.
                    progress.skip_to = progress.position
            progress.succeed()
            progress.ready_at = progress.paced_until = None
            await tx.webhook_progress.save_many([progress])
            await tx.webhook_endpoints.save_many([endpoint])
            if resume_from == NOW:
                await tx.webhook_deliveries.skip_open(id_, Undelivered.ENDPOINT_DISABLED, at=await tx.jobs.now())
            await tx.audit.add_many([entry(by, "enabled", endpoint, self._now(), after={"resume_from": resume_from})])
            return await _standing(tx, id_)


@frozen
class DeleteEndpoint:
    """Send nothing more. What was sent stays to be looked at until it is old. Raise `UnknownEndpoint`."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, id_: EndpointId) -> None:
        async with self._unit_of_work() as tx:
            endpoint = await locked(tx, id_)
            noted = entry(by, "deleted", endpoint, self._now())
            endpoint.delete(at=self._now())
            # A round that is on its way records what came of it before this, or finds the endpoint deleted.
            await tx.webhook_progress.get_many({id_}, lock=True)
            await tx.webhook_endpoints.save_many([endpoint])
            await tx.webhook_deliveries.skip_open(id_, Undelivered.ENDPOINT_DELETED, at=await tx.jobs.now())
            await tx.audit.add_many([noted])


async def locked(tx: Transaction, id_: EndpointId) -> Endpoint:
    """Return the endpoint, locked. Raise `UnknownEndpoint`."""
    endpoint = (await tx.webhook_endpoints.get_many({id_}, lock=True)).get(id_)
    if endpoint is None or endpoint.deleted_at is not None:
        raise unknown_endpoint(id_)
    return endpoint


async def end_rest(tx: Transaction, id_: EndpointId) -> None:
    """Let the next round try at once."""
    found = await tx.webhook_progress.get_many({id_}, lock=True)
    for progress in found.values():
        progress.end_rest()
    await tx.webhook_progress.save_many(list(found.values()))


def unknown_endpoint(id_: EndpointId) -> UnknownEndpoint:
    return UnknownEndpoint(f"there is no webhook endpoint {id_}, or it was deleted")


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


async def _standing(tx: Transaction, id_: EndpointId) -> Standing:
    endpoint = (await tx.webhook_endpoints.get_many({id_})).get(id_)
    progress = (await tx.webhook_progress.get_many({id_})).get(id_)
    if endpoint is None or progress is None or endpoint.deleted_at is not None:
        raise unknown_endpoint(id_)
    return Standing(endpoint, progress, (await tx.feed.bounds()).newest)
