from collections.abc import Collection, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import frozen
from msgspec.structs import replace
from quart import request

from adapters.codecs.plain import plain
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.intake.queue_orders import Queued
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import ChangeQueued
from application.ports.idempotency import scope_of
from domain.ids import OrderId
from domain.jobs.job import Job
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, OrderStatus
from entrypoints.http import examples, query
from entrypoints.http.bodies.events import EventBody, HistoryBody
from entrypoints.http.bodies.expanded import ExpandedOrderBody
from entrypoints.http.bodies.orders import (
    ChangeStatusBody,
    CheckedOrderBody,
    CheckOrderBody,
    OrderBody,
    PayBody,
    PlaceOrderBody,
    status_set_by_hand,
)
from entrypoints.http.bodies.timeline import TimelineBody
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import answered, keyed, queued, replayed
from entrypoints.http.ids import order_id_of
from entrypoints.http.order_details import ChangeDetailsBody
from entrypoints.http.preconditions import GUARDS, Preconditions, allowed_by, etag_of, etag_with_parts, only_if
from entrypoints.http.prefix import here
from entrypoints.http.query import CHANGES
from entrypoints.http.refusals import InvalidRequest, in_query
from entrypoints.http.replies import Reply, no_content, not_modified, reply
from entrypoints.http.routes.route import Route

_KEY: Final = frozenset({IDEMPOTENCY_KEY})
# Cancelling and completing need the one, a refund the other.
_STATUS: Final = frozenset({Scope.ORDERS_WRITE, Scope.REFUNDS_WRITE})
_PLACE_ORDER: Final = msgspec.json.Decoder(PlaceOrderBody)
_PAY: Final = msgspec.json.Decoder(PayBody)
_CHECK: Final = msgspec.json.Decoder(CheckOrderBody)
_READ: Final = {"expand": query.expand, "wait": query.seconds, "min_version": query.min_version}
_WAIT: Final = frozenset({"wait", "min_version"})
_CHANGE_DETAILS: Final = msgspec.json.Decoder(ChangeDetailsBody)
_CHANGE_STATUS: Final = msgspec.json.Decoder(ChangeStatusBody)


def orders_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    return [
        Route(
            "POST",
            "/orders",
            Scope.ORDERS_WRITE,
            handlers.place,
            honours=_KEY,
            body=_PLACE_ORDER,
            example=examples.PLACE_ORDER,
            summary="Place an order",
            answers={HTTPStatus.CREATED: examples.ORDER, HTTPStatus.ACCEPTED: examples.ORDER},
        ),
        Route(
            "POST",
            "/orders/check",
            Scope.ORDERS_READ,
            handlers.check,
            body=_CHECK,
            example=examples.CHECK_ORDER,
            summary="Find out what an order would cost, and whether there is stock",
            answers={HTTPStatus.OK: examples.CHECKED_ORDER},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "GET",
            "/orders/<order_id>",
            Scope.ORDERS_READ,
            handlers.get,
            honours=GUARDS,
            parameters=_READ,
            waits=query.MOST_SECONDS,
            summary="Read an order",
            answers={HTTPStatus.OK: examples.EXPANDED_ORDER, HTTPStatus.NOT_MODIFIED: None},
        ),
        Route(
            "PATCH",
            "/orders/<order_id>",
            Scope.ORDERS_WRITE,
            handlers.change,
            honours=GUARDS,
            body=_CHANGE_DETAILS,
            example=examples.CHANGE_DETAILS,
            summary="Change what belongs to an order beside its lines",
            answers={HTTPStatus.OK: examples.ORDER, HTTPStatus.ACCEPTED: examples.QUEUED_ORDER},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "DELETE",
            "/orders/<order_id>",
            Scope.ORDERS_WRITE,
            handlers.delete,
            honours=GUARDS,
            summary="Delete an order that was never paid for",
            answers={HTTPStatus.NO_CONTENT: None, HTTPStatus.ACCEPTED: examples.QUEUED_ORDER},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "POST",
            "/orders/<order_id>/pay",
            Scope.PAYMENTS_WRITE,
            handlers.pay,
            honours=GUARDS | _KEY,
            body=_PAY,
            needs_body=False,
            summary="Pay for an order",
            answers={HTTPStatus.OK: examples.ORDER, HTTPStatus.ACCEPTED: examples.ORDER},
        ),
        Route(
            "PATCH",
            "/orders/<order_id>/status",
            _STATUS,
            handlers.change_status,
            honours=GUARDS,
            body=_CHANGE_STATUS,
            example=examples.CHANGE_STATUS,
            summary="Cancel, complete or refund an order",
            answers={HTTPStatus.OK: examples.ORDER, HTTPStatus.ACCEPTED: examples.ORDER},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "GET",
            "/orders/<order_id>/events",
            Scope.ORDERS_READ,
            handlers.history,
            summary="Read the history of an order",
            answers={HTTPStatus.OK: examples.HISTORY},
        ),
        Route(
            "GET",
            "/orders/<order_id>/timeline",
            Scope.ORDERS_READ,
            handlers.timeline,
            summary="Find out where an order stands, and what it waits for",
            answers={HTTPStatus.OK: examples.TIMELINE},
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def place(self, by: Principal) -> Reply:
        body = await read_json(_PLACE_ORDER)
        wanted = body.to_request()
        call = await keyed(wanted, scope=scope_of(wanted.user_id))
        outcome = await self._use_cases.place_order(by, call)
        return queued(outcome, accepted) if isinstance(outcome, Queued) else answered(outcome, created)

    async def get(self, by: Principal, order_id: str) -> Reply:
        preconditions = Preconditions.of(request.headers)
        wanted = query.parameters(request.query_string, _READ)
        id_ = order_id_of(order_id)
        if wanted.keys() & _WAIT:
            order = await self._use_cases.await_version(by, id_, **_wait_in(wanted))
        if "expand" in wanted:
            order, body = await self._expanded(by, id_, wanted["expand"])
            etag = etag_with_parts(order, msgspec.json.encode(body, enc_hook=plain))
        else:
            if not wanted:
                order = await self._use_cases.get_order(by, id_)
            etag, body = etag_of(order), OrderBody.of(order)
        if preconditions is not None and preconditions.spare_body(order, etag):
            return not_modified(etag)
        return reply(body, HTTPStatus.OK, ("ETag", etag))

    async def _expanded(self, by: Principal, id_: OrderId, parts: frozenset[str]) -> tuple[Order, OrderBody]:
        waiting: Sequence[Job] = ()
        if CHANGES in parts:
            shown = await self._use_cases.show_waiting_changes(by, id_)
            if parts == {CHANGES}:
                return shown.order, ExpandedOrderBody.with_changes(shown)
            waiting = shown.waiting
        expanded = await self._use_cases.expand_order(by, id_)
        return expanded.order, ExpandedOrderBody.with_parts(expanded, parts, waiting)

    async def check(self, by: Principal) -> Reply:
        body = await read_json(_CHECK)
        items = [item.requested() for item in body.items]
        return reply(CheckedOrderBody.of(await self._use_cases.check_order(by, items)))

    async def change(self, by: Principal, order_id: str) -> Reply:
        id_ = order_id_of(order_id)
        changes = (await read_json(_CHANGE_DETAILS)).changes()
        call = DetailsChange(id_, allowed_by(request.headers), changes=changes)
        outcome = await self._use_cases.change_details(by, call)
        return _changing(outcome) if isinstance(outcome, ChangeQueued) else _reply(outcome)

    async def delete(self, by: Principal, order_id: str) -> Reply:
        outcome = await self._use_cases.delete_order(by, only_if(order_id_of(order_id), request.headers))
        return _changing(outcome) if isinstance(outcome, ChangeQueued) else no_content()

    async def pay(self, by: Principal, order_id: str) -> Reply:
        id_ = order_id_of(order_id)
        await read_json_if_any(_PAY)
        call = await keyed(only_if(id_, request.headers), scope=f"order {id_}")
        return answered(
            await self._use_cases.request_payment(by, call),
            partial(_accepted_until, HAS_MONEY),
        )

    async def change_status(self, by: Principal, order_id: str) -> Reply:
        id_ = order_id_of(order_id)
        wanted = status_set_by_hand((await read_json(_CHANGE_STATUS)).status)
        return _accepted_until({wanted}, await self._use_cases.by_hand[wanted](by, only_if(id_, request.headers)))

    async def history(self, by: Principal, order_id: str) -> Reply:
        events = await self._use_cases.get_history(by, order_id_of(order_id))
        return reply(HistoryBody([EventBody.of(event) for event in events]))

    async def timeline(self, by: Principal, order_id: str) -> Reply:
        return reply(TimelineBody.of(await self._use_cases.explain_order(by, order_id_of(order_id))))


def _wait_in(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return how long to wait, and for which version. Raise `InvalidRequest`."""
    if missing := _WAIT - wanted.keys():
        rule = "wait and min_version are sent together"
        raise InvalidRequest(*(in_query(name, rule, "required") for name in missing))
    return {"version": wanted["min_version"], "seconds": wanted["wait"]}


def _reply(order: Order, status: HTTPStatus = HTTPStatus.OK, *headers: tuple[str, str]) -> Reply:
    return reply(OrderBody.of(order), status, ("ETag", etag_of(order)), *headers)


def created(order: Order) -> Reply:
    return _reply(order, HTTPStatus.CREATED, ("Location", here(f"/orders/{order.id}")))


def accepted(order: Order) -> Reply:
    """The response for a queued order, which is as safe as a created one and is recorded soon."""
    return _reply(order, HTTPStatus.ACCEPTED, ("Location", here(f"/orders/{order.id}")))


def _changing(queued: ChangeQueued) -> Reply:
    """The response for a change that is made later: the order, and the job. Only a current version has its tag."""
    body = replace(OrderBody.of(queued.order), job_id=queued.job.id)
    tag = [("ETag", etag_of(queued.order))] if queued.is_current else []
    first = reply(body, HTTPStatus.ACCEPTED, *tag, ("Location", here(f"/jobs/{queued.job.id}")))
    return replayed(first) if queued.replayed else first


def _accepted_until(reached: Collection[OrderStatus], order: Order | ChangeQueued) -> Reply:
    """200 if the order has reached its status, 202 while the worker still has to process it."""
    if isinstance(order, ChangeQueued):
        return _changing(order)
    return _reply(order, HTTPStatus.OK if order.status in reached else HTTPStatus.ACCEPTED)
