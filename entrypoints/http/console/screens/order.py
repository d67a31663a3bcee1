"""One order: where it stands and why, how it came there, and what can be done about it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.execution.conditional import OnlyIf
from application.intake.unrecorded import NotYetRecorded
from application.orders.explain_order import Step
from application.orders.legs import IN_WORDS
from application.orders.standing import WaitsFor
from application.ports.webhook_store import DeliveryFilter
from application.webhooks.unsent import Unsent
from domain.errors import UnknownOrder
from domain.ids import OrderId
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, LIFE, MAY_BE_PAID, OrderStatus
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.parts import QUERY_TIMEOUT, Part
from entrypoints.http.console.requests import address, form, whole_number
from entrypoints.http.ids import order_id_of
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

PATH: Final = "/console/orders/<order_id>"
# How many of its messages and deliveries are shown.
_MOST: Final = 50
# Receivers that are named beside an order: a shop may have a thousand.
_MOST_UNSENT: Final = 10
_HEAVIEST: Final = 12
# What has happened, in the words of the trade. What is not among them is shown as it is called.
_WORDS: Final = {
    "order.accepted": "Accepted",
    "order.placed": "Placed",
    "order.payment_requested": "Payment requested",
    "order.stock_reserved": "Stock reserved",
    "order.paid": "Paid",
    "order.failed": "Payment failed",
    "order.cancelled": "Cancelled",
    "order.expired": "Expired",
    "order.completed": "Completed",
    "order.refund_requested": "Refund requested",
    "order.refunded": "Refunded",
    "order.details_changed": "Details changed",
    "order.change_refused": "Change refused",
    "order.deleted": "Deleted",
}


@frozen
class _Act:
    """Something that may be done with an order as it stands: its form, and what is asked before."""

    name: str
    label: str
    question: str
    needs: Scope
    is_dangerous: bool = False


_PAY: Final = _Act(
    "pay", "Pay", "Its payment is requested, and the customer is charged the whole total.", Scope.PAYMENTS_WRITE
)
_COMPLETE: Final = _Act(
    "complete", "Complete", "It has been delivered, and nothing more is to be done.", Scope.ORDERS_WRITE
)
_REFUND: Final = _Act(
    "refund",
    "Refund",
    "The whole total is given back, and its units return to the stock.",
    Scope.REFUNDS_WRITE,
    is_dangerous=True,
)
_CANCEL: Final = _Act(
    "cancel",
    "Cancel order",
    "Nobody pays for it any more. This can't be undone.",
    Scope.ORDERS_WRITE,
    is_dangerous=True,
)
_AGAIN: Final = _Act(
    "again",
    "Ask again",
    "Its request is put into the outbox again, since the broker may have lost it. Twice does no harm.",
    Scope.ORDERS_WRITE,
)


@frozen
class _Leg:
    """A step with the time since the step before, and how long that was beside the longest: 1 to `_HEAVIEST`."""

    step: Step
    title: str
    since: timedelta | None
    weight: int


def order_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", PATH, Scope.ORDERS_READ, screen.show),
        Route("POST", f"{PATH}/pay", Scope.PAYMENTS_WRITE, screen.pay),
        Route("POST", f"{PATH}/complete", Scope.ORDERS_WRITE, screen.complete),
        Route("POST", f"{PATH}/cancel", Scope.ORDERS_WRITE, screen.cancel),
        Route("POST", f"{PATH}/refund", Scope.REFUNDS_WRITE, screen.refund),
        Route("POST", f"{PATH}/again", Scope.ORDERS_WRITE, screen.again),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal, order_id: str) -> Reply:
        id_ = order_id_of(order_id)
        use, ask = self._kit.use_cases, self._kit.parts.ask
        explained, payments, messages, (deliveries, unsent) = await asyncio.gather(
            use.explain_order(by, id_, patience=QUERY_TIMEOUT),
            ask("payments of an order", self._payments(by, id_)),
            ask("messages of an order", self._messages(by, id_)),
            self._webhooks(by, id_),
        )
        order = explained.order
        acts = [act for act in _acts(order, explained.standing.waits_for) if act.needs in by.scopes]
        return self._kit.pages.page(
            "order.html",
            by,
            order=order,
            standing=explained.standing,
            beside=explained.beside,
            legs=_legs(explained.steps),
            payments=payments,
            messages=messages,
            deliveries=deliveries,
            unsent=unsent,
            receivers={} if unsent is None or unsent.value is None else unsent.value.receivers,
            most_unsent=_MOST_UNSENT,
            # The first one is the repair, where the order waits for somebody.
            acts=acts,
            letter=explained.letter_id,
            leg_in_words=IN_WORDS,
            total_time=explained.steps[-1].at - explained.steps[0].at if explained.steps else None,
        )

    async def _webhooks(self, by: Principal, id_: OrderId) -> tuple[Part[Any], Part[Unsent]] | tuple[None, None]:
        if Scope.WEBHOOKS_WRITE not in by.scopes:
            return None, None
        use, ask = self._kit.use_cases, self._kit.parts.ask
        return await asyncio.gather(
            ask("deliveries of an order", use.list_deliveries(by, DeliveryFilter(order_id=id_), limit=_MOST)),
            ask("receivers of an order", use.see_unsent(by, id_)),
        )

    async def _payments(self, by: Principal, id_: OrderId) -> Sequence[Any]:
        try:
            return [*(await self._kit.use_cases.expand_order(by, id_)).payments.values()]
        except (NotYetRecorded, UnknownOrder):
            return []

    async def _messages(self, by: Principal, id_: OrderId) -> Sequence[Any]:
        try:
            found: Sequence[Any] = await self._kit.use_cases.list_messages(by, order_id=id_, before=None, limit=_MOST)
        except UnknownOrder:
            return []
        return found

    async def pay(self, by: Principal, order_id: str) -> Reply:
        return await self._do(self._kit.use_cases.request_payment, by, order_id, "pay")

    async def complete(self, by: Principal, order_id: str) -> Reply:
        return await self._do(self._kit.use_cases.complete_order, by, order_id, "complete")

    async def cancel(self, by: Principal, order_id: str) -> Reply:
        return await self._do(self._kit.use_cases.cancel_order, by, order_id, "cancel")

    async def refund(self, by: Principal, order_id: str) -> Reply:
        return await self._do(self._kit.use_cases.request_refund, by, order_id, "refund")

    async def again(self, by: Principal, order_id: str) -> Reply:
        return await self._do(self._kit.use_cases.republish_request, by, order_id, "again")

    async def _do(
        self, act: Callable[[Principal, Any], Awaitable[Any]], by: Principal, order_id: str, done: str
    ) -> Reply:
        """Do it with the order as it was shown: what has changed since is looked at first."""
        id_, version = order_id_of(order_id), whole_number(await form(), "version")
        await act(by, OnlyIf(id_, lambda order: order.version == version))
        return see_other(address(f"/console/orders/{id_}", done=f"order-{done}"))


def _acts(order: Order, waits_for: WaitsFor) -> list[_Act]:
    """What may be done, the repair first."""
    if order.deleted:
        return []
    following = LIFE[order.status].next
    acts = []
    if waits_for in {WaitsFor.WORKER, WaitsFor.RELAY} and order.payment_id is not None:
        acts.append(_AGAIN)
    if order.status in MAY_BE_PAID:
        acts.append(_PAY)
    if OrderStatus.COMPLETED in following and not order.refund_requested:
        acts.append(_COMPLETE)
    if order.status in HAS_MONEY and not order.refund_requested:
        acts.append(_REFUND)
    if OrderStatus.CANCELLED in following:
        acts.append(_CANCEL)
    return acts


def _legs(steps: Sequence[Step]) -> list[_Leg]:
    spans = [after.at - before.at for before, after in pairwise(steps)]
    # A span is below zero where a clock was set.
    longest = max((span.total_seconds() for span in spans), default=0)
    longest = longest if longest > 0 else 1
    legs = []
    for step, span in zip(steps, [None, *spans], strict=False):
        share = 0 if span is None else span.total_seconds() / longest
        legs.append(_Leg(step, _title(step), span, max(1, round(_HEAVIEST * share))))
    return legs


def _title(step: Step) -> str:
    if (sent := step.delivery) is None:
        return _WORDS.get(step.what, step.what)
    # Which receiver it was, stands beside the order.
    why = f": {sent.reason.value.replace('_', ' ')}" if sent.reason else ""
    return f"Webhook {sent.type} {sent.status.value.lower()}{why}"
