"""Register, read, change and delete the receivers of webhooks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.ports.broken import BrokenEndpoint
from application.ports.environment import Clock, NewId, NewSecret
from application.ports.persistence import UnitOfWork
from application.ports.webhooks import WebhookMessages
from application.webhooks.auditing import entry, shown
from application.webhooks.changing import begin_anew, locked, unknown_endpoint
from application.webhooks.destinations import Allowed
from application.webhooks.standing import Standing, each_standing, standing_of
from application.webhooks.validity import expect_valid
from domain.errors import IllegalTransition
from domain.ids import EndpointId
from domain.webhooks.delivery import Undelivered
from domain.webhooks.endpoint import (
    Disabled,
    Endpoint,
    Ordering,
    Payload,
    Secret,
    Signature,
    TooManyEndpoints,
)
from domain.webhooks.progress import begun_after

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
            return await standing_of(tx, id_)


@frozen
class ChangeEndpoint:
    """Change what is named in `changes`. Raise `UnknownEndpoint` or `InvalidEndpoint`.

    Events that the endpoint was not sent yet are chosen by what it wants when their turn comes. With another URL, or
    with other headers, a rest is over, and the time of nothing but failures: they were those of what answered before.
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
                await begin_anew(tx, id_)
            if endpoint != before:
                await tx.audit.add_many([entry(by, "changed", endpoint, self._now(), shown(before))])
            return await standing_of(tx, id_)


def _switch(endpoint: Endpoint, *, on: bool, at: datetime) -> None:
    if not on:
        endpoint.disable(Disabled.BY_HAND, at=at)
    elif not endpoint.is_served:
        raise IllegalTransition("an endpoint is enabled by POST .../enable, which says where it goes on")


@frozen
class DeleteEndpoint:
    """Send nothing more. What was sent stays to be looked at until it is old. A deleted one stays as it is.

    Raise `UnknownEndpoint` for one that never was.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, id_: EndpointId) -> None:
        async with self._unit_of_work() as tx:
            endpoint = (await tx.webhook_endpoints.get_many({id_}, lock=True)).get(id_)
            if endpoint is None:
                raise unknown_endpoint(id_)
            if endpoint.deleted_at is not None:
                return
            noted = entry(by, "deleted", endpoint, self._now())
            endpoint.delete(at=self._now())
            # A round that is on its way records what came of it before this, or finds the endpoint deleted.
            await tx.webhook_progress.get_many({id_}, lock=True)
            await tx.webhook_endpoints.save_many([endpoint])
            await tx.webhook_deliveries.skip_open(id_, Undelivered.ENDPOINT_DELETED, at=await tx.jobs.now())
            await tx.audit.add_many([noted])


@frozen
class ListSigningKeys:
    """Return the public keys of the shop, by which receivers check signatures of the kind `v1a`, the newest first."""

    _messages: WebhookMessages

    async def __call__(self, _: Principal) -> Sequence[str]:
        return self._messages.public_keys()
