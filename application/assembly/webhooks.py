"""Webhooks: the receivers, what they are sent, and what sends it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from application.access.guarded import Guarded
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.shared import Shared
from application.jobs.add_job import AddJob, StartedJob
from application.ports.broken import BrokenEndpoint
from application.ports.webhooks import Attempt
from application.webhooks.deliveries import (
    Attempted,
    GetDelivery,
    ListDeliveries,
    ResendDelivery,
    StartRecovery,
)
from application.webhooks.endpoints import (
    AddEndpoint,
    ChangeEndpoint,
    DeleteEndpoint,
    GetEndpoint,
    ListEndpoints,
    ListSigningKeys,
    NewEndpoint,
    WithSecret,
)
from application.webhooks.finish import FinishRounds
from application.webhooks.operating import EnableEndpoint, RotateSecret, TestEndpoint
from application.webhooks.remove_old import RemoveDeliveries
from application.webhooks.send import SendWebhooks
from application.webhooks.standing import Standing
from application.webhooks.unsent import SeeUnsent, Unsent
from domain.ids import EndpointId, OrderId
from domain.webhooks.delivery import Delivery, DeliveryId


@frozen(kw_only=True, slots=False)
class WebhookUseCases:
    add_endpoint: Callable[[Principal, NewEndpoint], Awaitable[WithSecret]]
    list_endpoints: Guarded[..., Sequence[Standing | BrokenEndpoint]]
    get_endpoint: Callable[[Principal, EndpointId], Awaitable[Standing]]
    change_endpoint: Callable[[Principal, EndpointId, Mapping[str, Any]], Awaitable[Standing]]
    delete_endpoint: Callable[[Principal, EndpointId], Awaitable[None]]
    list_signing_keys: Callable[[Principal], Awaitable[Sequence[str]]]
    rotate_secret: Guarded[..., WithSecret]
    test_endpoint: Callable[[Principal, EndpointId], Awaitable[Attempt]]
    enable_endpoint: Guarded[..., Standing]
    list_deliveries: Guarded[..., Sequence[Delivery]]
    get_delivery: Callable[[Principal, DeliveryId], Awaitable[Attempted]]
    resend_delivery: Callable[[Principal, DeliveryId], Awaitable[Delivery]]
    start_recovery: Guarded[..., StartedJob]
    see_unsent: Callable[[Principal, OrderId], Awaitable[Unsent]]
    send_webhooks: SendWebhooks
    remove_deliveries: RemoveDeliveries


def webhook_use_cases(shared: Shared) -> WebhookUseCases:
    ports, uow, now = shared.ports, shared.uow, shared.ports.now
    messages, transport, new_secret = ports.webhook_messages, ports.webhook_transport, ports.new_secret
    needs, allowed = Scope.WEBHOOKS_WRITE, shared.limits.webhooks_allowed
    return WebhookUseCases(
        add_endpoint=Guarded(needs, AddEndpoint(uow, messages, ports.new_id, new_secret, now, allowed)),
        list_endpoints=Guarded(needs, ListEndpoints(uow)),
        get_endpoint=Guarded(needs, GetEndpoint(uow)),
        change_endpoint=Guarded(needs, ChangeEndpoint(uow, messages, now, allowed)),
        delete_endpoint=Guarded(needs, DeleteEndpoint(uow, now)),
        list_signing_keys=Guarded(None, ListSigningKeys(messages)),
        rotate_secret=Guarded(needs, RotateSecret(uow, messages, new_secret, now)),
        test_endpoint=Guarded(needs, TestEndpoint(uow, transport, messages, ports.new_id, now)),
        enable_endpoint=Guarded(needs, EnableEndpoint(uow, now)),
        list_deliveries=Guarded(needs, ListDeliveries(uow)),
        get_delivery=Guarded(needs, GetDelivery(uow)),
        resend_delivery=Guarded(needs, ResendDelivery(uow, now)),
        start_recovery=Guarded(needs, StartRecovery(uow, AddJob(uow, ports.new_id, now), now)),
        see_unsent=Guarded(needs, SeeUnsent(uow)),
        send_webhooks=SendWebhooks(
            uow,
            transport,
            messages,
            now,
            ports.elapsed,
            ports.relay_name,
            shared.batches(FinishRounds(uow), "finish_webhooks"),
        ),
        remove_deliveries=RemoveDeliveries(uow),
    )
