"""What a person on duty does with an endpoint: a new secret, a test, and letting it go on after it was disabled."""

from datetime import timedelta
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.ports.environment import Clock, NewId, NewSecret
from application.ports.persistence import UnitOfWork
from application.ports.webhooks import Attempt, WebhookMessages, WebhookTransport
from application.webhooks.auditing import entry
from application.webhooks.changing import begin_anew, locked
from application.webhooks.endpoints import WithSecret
from application.webhooks.standing import Standing, standing_of
from domain.ids import EndpointId
from domain.webhooks.delivery import Undelivered
from domain.webhooks.endpoint import LONGEST_OVERLAP, InvalidEndpoint


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
            return WithSecret(await standing_of(tx, id_), secret)


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
            endpoint = (await standing_of(tx, id_)).endpoint
        # Nobody waits for it in a transaction.
        attempt = await self._transport.send(self._messages.ping(endpoint, id_=self._new_id(), at=self._now()))
        if attempt.failure is None:
            async with self._unit_of_work() as tx:
                await begin_anew(tx, id_)
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
            return await standing_of(tx, id_)
