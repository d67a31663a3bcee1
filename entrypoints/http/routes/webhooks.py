from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import evolve, frozen
from msgspec import UNSET
from quart import request

from application.access.principal import ANYBODY, Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.ports.broken import BrokenEndpoint, apart
from application.ports.webhook_store import DeliveryFilter
from entrypoints.http import examples, query
from entrypoints.http.bodies.webhooks import (
    AttemptBody,
    BrokenEndpointBody,
    ChangeEndpointBody,
    DeliveriesBody,
    DeliveryBody,
    DeliveryWithAttemptsBody,
    EnableEndpointBody,
    EndpointBody,
    EndpointsBody,
    EndpointWithSecretBody,
    NewEndpointBody,
    RecoverBody,
    RotateSecretBody,
    SigningKeysBody,
)
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed, started
from entrypoints.http.ids import delivery_id_of, endpoint_id_of
from entrypoints.http.moments import overlap_in
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.prefix import here
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.http.replies import Reply, no_content, reply
from entrypoints.http.routes.route import Open, Route

_NEW: Final = msgspec.json.Decoder(NewEndpointBody)
_CHANGE: Final = msgspec.json.Decoder(ChangeEndpointBody)
_ROTATE: Final = msgspec.json.Decoder(RotateSecretBody)
_ENABLE: Final = msgspec.json.Decoder(EnableEndpointBody)
_RECOVER: Final = msgspec.json.Decoder(RecoverBody)

_PAGE: Final = {"limit": query.limit, "cursor": query.cursor}
_DELIVERIES: Final = {
    "status": query.delivery_status,
    "type": query.event_type,
    "order_id": query.order_id,
    "reason": query.undelivered_reason,
    **_PAGE,
}
_UNDELIVERED: Final = {"reason": query.undelivered_reason, **_PAGE}
_CONFLICT: Final = frozenset({HTTPStatus.CONFLICT})
# Seconds for which a test may wait beyond what other requests may take: an attempt ends after 15.
_TEST_WAITS: Final = 15.0


def webhooks_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers, needs = _Handlers(use_cases, cursors), Scope.WEBHOOKS_WRITE
    one = "/webhook-endpoints/<endpoint_id>"
    return [
        Route(
            "POST",
            "/webhook-endpoints",
            needs,
            handlers.create,
            body=_NEW,
            example=examples.NEW_ENDPOINT,
            summary="Register a receiver of webhooks, and show its secret once",
            answers={HTTPStatus.CREATED: examples.ENDPOINT_WITH_SECRET},
            refusals=_CONFLICT,
        ),
        Route(
            "GET",
            "/webhook-endpoints",
            needs,
            handlers.page,
            parameters=_PAGE,
            summary="List the receivers of webhooks",
            answers={HTTPStatus.OK: examples.ENDPOINTS},
        ),
        Route(
            "GET",
            "/.well-known/webhook-keys",
            Open.TO_ALL,
            handlers.keys,
            summary="Read the public keys of the shop, which check signatures of the kind `v1a`",
            answers={HTTPStatus.OK: examples.SIGNING_KEYS},
        ),
        Route(
            "GET",
            one,
            needs,
            handlers.get,
            summary="Read a receiver of webhooks",
            answers={HTTPStatus.OK: examples.ENDPOINT},
        ),
        Route(
            "PATCH",
            one,
            needs,
            handlers.change,
            body=_CHANGE,
            example=examples.CHANGE_ENDPOINT,
            summary="Change a receiver of webhooks",
            answers={HTTPStatus.OK: examples.ENDPOINT},
            refusals=_CONFLICT,
        ),
        Route(
            "DELETE",
            one,
            needs,
            handlers.delete,
            summary="Delete a receiver of webhooks",
            answers={HTTPStatus.NO_CONTENT: None},
        ),
        Route(
            "POST",
            f"{one}/rotate-secret",
            needs,
            handlers.rotate,
            body=_ROTATE,
            needs_body=False,
            example=RotateSecretBody("24h"),
            summary="Sign with a new secret, and show it once",
            answers={HTTPStatus.OK: examples.ENDPOINT_WITH_SECRET},
        ),
        Route(
            "POST",
            f"{one}/test",
            needs,
            handlers.test,
            summary="Send `webhook.ping` now",
            answers={HTTPStatus.OK: examples.ATTEMPT},
            waits=_TEST_WAITS,
        ),
        Route(
            "POST",
            f"{one}/enable",
            needs,
            handlers.enable,
            body=_ENABLE,
            example=EnableEndpointBody("where_it_stopped"),
            summary="Send to a disabled receiver again",
            answers={HTTPStatus.OK: examples.ENDPOINT},
            refusals=_CONFLICT,
        ),
        Route(
            "POST",
            f"{one}/recover",
            needs,
            handlers.recover,
            honours=frozenset({IDEMPOTENCY_KEY}),
            body=_RECOVER,
            example=examples.RECOVER,
            summary="Send again what a receiver has missed",
            answers={HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
            refusals=_CONFLICT,
        ),
        Route(
            "GET",
            f"{one}/deliveries",
            needs,
            handlers.deliveries,
            parameters=_DELIVERIES,
            summary="List what a receiver was sent",
            answers={HTTPStatus.OK: examples.DELIVERIES},
        ),
        Route(
            "GET",
            "/deliveries/undelivered",
            needs,
            handlers.undelivered,
            parameters=_UNDELIVERED,
            summary="List the events that have not reached a receiver",
            answers={HTTPStatus.OK: examples.DELIVERIES},
        ),
        Route(
            "GET",
            "/deliveries/<delivery_id>",
            needs,
            handlers.delivery,
            summary="Read a delivery with each attempt",
            answers={HTTPStatus.OK: examples.DELIVERY_WITH_ATTEMPTS},
        ),
        Route(
            "POST",
            "/deliveries/<delivery_id>/resend",
            needs,
            handlers.resend,
            summary="Send an event to its receiver again",
            answers={HTTPStatus.ACCEPTED: examples.DELIVERY},
            refusals=_CONFLICT,
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def create(self, by: Principal) -> Reply:
        made = await self._use_cases.add_endpoint(by, (await read_json(_NEW)).to_new())
        place = here(f"/webhook-endpoints/{made.standing.endpoint.id}")
        return reply(EndpointWithSecretBody.of(made), HTTPStatus.CREATED, ("Location", place))

    async def page(self, by: Principal) -> Reply:
        page = await page_of(
            self._cursors.of_endpoints(),
            query.parameters(request.query_string, _PAGE),
            lambda after, limit: self._use_cases.list_endpoints(by, after=after, limit=limit),
            lambda standing: standing.id,
        )
        items, broken = apart(page.items, BrokenEndpoint)
        body = EndpointsBody(
            [EndpointBody.of(each) for each in items],
            page.next,
            [BrokenEndpointBody.of(each) for each in broken] or UNSET,
        )
        return page_reply(body)

    async def get(self, endpoint_id: str, by: Principal) -> Reply:
        return reply(EndpointBody.of(await self._use_cases.get_endpoint(by, endpoint_id_of(endpoint_id))))

    async def change(self, endpoint_id: str, by: Principal) -> Reply:
        id_, body = endpoint_id_of(endpoint_id), await read_json(_CHANGE)
        return reply(EndpointBody.of(await self._use_cases.change_endpoint(by, id_, body.changes())))

    async def delete(self, endpoint_id: str, by: Principal) -> Reply:
        await self._use_cases.delete_endpoint(by, endpoint_id_of(endpoint_id))
        return no_content()

    async def keys(self) -> Reply:
        return reply(SigningKeysBody(await self._use_cases.list_signing_keys(ANYBODY)))

    async def rotate(self, endpoint_id: str, by: Principal) -> Reply:
        id_, body = endpoint_id_of(endpoint_id), await read_json_if_any(_ROTATE)
        overlap = timedelta(0) if body is None else _duration(body.previous_valid_for)
        made = await self._use_cases.rotate_secret(by, id_, previous_valid_for=overlap)
        return reply(EndpointWithSecretBody.of(made))

    async def test(self, endpoint_id: str, by: Principal) -> Reply:
        return reply(AttemptBody.of(await self._use_cases.test_endpoint(by, endpoint_id_of(endpoint_id))))

    async def enable(self, endpoint_id: str, by: Principal) -> Reply:
        id_, body = endpoint_id_of(endpoint_id), await read_json(_ENABLE)
        return reply(EndpointBody.of(await self._use_cases.enable_endpoint(by, id_, resume_from=body.resume_from)))

    async def recover(self, endpoint_id: str, by: Principal) -> Reply:
        id_, body = endpoint_id_of(endpoint_id), await read_json(_RECOVER)
        call = await keyed(body.to_request(id_), scope=f"recover {id_}")
        return started(await self._use_cases.start_recovery(by, call), "/jobs")

    async def deliveries(self, endpoint_id: str, by: Principal) -> Reply:
        id_, wanted = endpoint_id_of(endpoint_id), query.parameters(request.query_string, _DELIVERIES)
        only = DeliveryFilter(
            endpoint_id=id_,
            status=wanted.get("status"),
            type=wanted.get("type"),
            order_id=wanted.get("order_id"),
            reason=wanted.get("reason"),
        )
        return await self._list(by, only, wanted)

    async def undelivered(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _UNDELIVERED)
        return await self._list(by, DeliveryFilter(undelivered=True, reason=wanted.get("reason")), wanted)

    async def delivery(self, delivery_id: str, by: Principal) -> Reply:
        found = await self._use_cases.get_delivery(by, delivery_id_of(delivery_id))
        return reply(DeliveryWithAttemptsBody.of(found))

    async def resend(self, delivery_id: str, by: Principal) -> Reply:
        delivery = await self._use_cases.resend_delivery(by, delivery_id_of(delivery_id))
        return reply(DeliveryBody.of(delivery), HTTPStatus.ACCEPTED)

    async def _list(self, by: Principal, only: DeliveryFilter, wanted: dict[str, Any]) -> Reply:
        # Only an event that has not arrived has a reason.
        only = evolve(only, undelivered=only.undelivered or only.reason is not None)
        page = await page_of(
            self._cursors.of_deliveries(only),
            wanted,
            lambda before, limit: self._use_cases.list_deliveries(by, only, before=before, limit=limit),
            lambda delivery: delivery.id,
        )
        body = DeliveriesBody([DeliveryBody.of(each) for each in page.items], page.next)
        return page_reply(body)


def _duration(text: str) -> timedelta:
    try:
        return overlap_in(text)
    except ValueError as error:
        raise InvalidRequest(in_body("previous_valid_for", str(error))) from None
