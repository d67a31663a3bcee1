"""The receivers of webhooks: how they are, what they were sent, and what they have missed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.ports.broken import BrokenEndpoint, apart
from application.ports.feed import FED_TYPES
from application.ports.webhook_store import DeliveryFilter
from application.webhooks.deliveries import RecoverRequest
from application.webhooks.operating import NOW, WHERE_IT_STOPPED
from application.webhooks.standing import Standing
from domain.errors import DomainError
from domain.ids import EndpointId
from domain.webhooks.delivery import DeliveryStatus
from domain.webhooks.endpoint import MAX_DESCRIPTION, Endpoint, InvalidEndpoint, Signature
from entrypoints.http import query
from entrypoints.http.console.endpoint_form import EMPTY, changes, fields_of, new_endpoint
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.parts import Part
from entrypoints.http.console.requests import address, choice, form, hours, optional, parameters, start_once
from entrypoints.http.ids import delivery_id_of, endpoint_id_of
from entrypoints.http.pages import Page, page_of
from entrypoints.http.problem_table import kind_of
from entrypoints.http.problems import problem_of
from entrypoints.http.refusals import InvalidRequest
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

T = TypeVar("T")

PATH: Final = "/console/webhooks"
_ONE: Final = f"{PATH}/<endpoint_id>"
_DELIVERY: Final = f"{PATH}/deliveries/<delivery_id>"
_PARAMETERS: Final = {"cursor": query.cursor}
_YES: Final = "yes"
_DELIVERIES: Final = {
    "status": optional(query.delivery_status),
    # Those that have not arrived, whatever their status.
    "undelivered": lambda text: text == _YES,
    "cursor": query.cursor,
}
# How far the events are counted that a receiver lacks.
_MOST_MISSED: Final = 100


def webhooks_screen(kit: Kit) -> list[Route]:
    screen, needs = _Screen(kit), Scope.WEBHOOKS_WRITE
    return [
        Route("GET", PATH, needs, screen.show),
        Route("POST", PATH, needs, screen.register),
        Route("GET", f"{PATH}/new", needs, screen.new),
        Route("GET", _ONE, needs, screen.endpoint),
        Route("GET", f"{_ONE}/edit", needs, screen.edit),
        Route("POST", f"{_ONE}/edit", needs, screen.change),
        Route("POST", f"{_ONE}/test", needs, screen.test),
        Route("POST", f"{_ONE}/recover", needs, screen.recover),
        Route("POST", f"{_ONE}/rotate", needs, screen.rotate),
        Route("POST", f"{_ONE}/enable", needs, screen.enable),
        Route("POST", f"{_ONE}/disable", needs, screen.disable),
        Route("POST", f"{_ONE}/delete", needs, screen.delete),
        Route("GET", _DELIVERY, needs, screen.delivery),
        Route("POST", f"{_DELIVERY}/resend", needs, screen.resend),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        page = await page_of(
            self._kit.cursors.of_endpoints(),
            parameters(_PARAMETERS),
            lambda after, limit: self._kit.use_cases.list_endpoints(by, after=after, limit=limit),
            lambda standing: standing.id,
        )
        items, broken = apart(page.items, BrokenEndpoint)
        answers, missed = await asyncio.gather(self._last_answers(by, items), self._missed(by, items))
        return self._kit.pages.page(
            "webhooks.html",
            by,
            page=Page(items, page.next),
            broken=broken,
            answers=answers,
            missed=missed,
            most_missed=_MOST_MISSED,
            signs=await self._signs(by),
            now=self._kit.now(),
        )

    async def new(self, by: Principal) -> Reply:
        return self._form(by, EMPTY)

    async def register(self, by: Principal) -> Reply:
        sent = await form()
        try:
            made = await self._kit.use_cases.add_endpoint(by, new_endpoint(sent))
        except (InvalidRequest, DomainError) as error:
            return self._form(by, sent, error=error)
        endpoint = made.standing.endpoint
        if endpoint.signature is Signature.V1A:
            # Its receiver holds no secret.
            return see_other(address(f"{PATH}/{endpoint.id}", done="webhook-registered"))
        return self._kit.pages.page("webhook_secret.html", by, endpoint=endpoint, secret=made.secret)

    async def edit(self, by: Principal, endpoint_id: str) -> Reply:
        endpoint = (await self._kit.use_cases.get_endpoint(by, endpoint_id_of(endpoint_id))).endpoint
        return self._form(by, fields_of(endpoint), endpoint)

    async def change(self, by: Principal, endpoint_id: str) -> Reply:
        sent, id_ = await form(), endpoint_id_of(endpoint_id)
        endpoint = (await self._kit.use_cases.get_endpoint(by, id_)).endpoint
        try:
            await self._kit.use_cases.change_endpoint(by, id_, changes(sent))
        except (InvalidRequest, InvalidEndpoint) as error:
            return self._form(by, sent, endpoint, error=error)
        return see_other(address(f"{PATH}/{id_}", done="webhook-changed"))

    def _form(
        self,
        by: Principal,
        sent: Mapping[str, str],
        endpoint: Endpoint | None = None,
        *,
        error: Exception | None = None,
    ) -> Reply:
        """What was sent stands in the form again, beside what is wrong with it."""
        errors = error.errors if isinstance(error, InvalidRequest) else ()
        problem = None if error is None else problem_of(kind_of(error), error, request_id="", errors=errors)
        return self._kit.pages.page(
            "webhook_form.html",
            by,
            status=HTTPStatus.OK if problem is None else HTTPStatus(problem.status),
            sent={**EMPTY, **sent},
            endpoint=endpoint,
            problem=problem,
            types=sorted(FED_TYPES),
            most_description=MAX_DESCRIPTION,
        )

    async def endpoint(self, by: Principal, endpoint_id: str) -> Reply:
        return await self._page(by, endpoint_id)

    async def test(self, by: Principal, endpoint_id: str) -> Reply:
        attempt = await self._kit.use_cases.test_endpoint(by, endpoint_id_of(endpoint_id))
        # What came of it is shown at once, and is stored nowhere.
        return await self._page(by, endpoint_id, attempt=attempt)

    async def recover(self, by: Principal, endpoint_id: str) -> Reply:
        sent = await form()
        wanted = RecoverRequest(endpoint_id=endpoint_id_of(endpoint_id), since=self._kit.now() - hours(sent, "hours"))
        # The hours end now, so the same form sent again asks for something else.
        job_id, _ = await start_once(partial(self._kit.use_cases.start_recovery, by), wanted, sent)
        return see_other(address(f"/console/jobs/{job_id}", done="webhook-recovering"))

    async def rotate(self, by: Principal, endpoint_id: str) -> Reply:
        made = await self._kit.use_cases.rotate_secret(
            by, endpoint_id_of(endpoint_id), previous_valid_for=hours(await form(), "hours")
        )
        return self._kit.pages.page("webhook_secret.html", by, endpoint=made.standing.endpoint, secret=made.secret)

    async def enable(self, by: Principal, endpoint_id: str) -> Reply:
        id_, start = endpoint_id_of(endpoint_id), choice(await form(), "resume_from", [NOW, WHERE_IT_STOPPED])
        await self._kit.use_cases.enable_endpoint(by, id_, resume_from=start)
        return see_other(address(f"{PATH}/{id_}", done="webhook-enabled"))

    async def disable(self, by: Principal, endpoint_id: str) -> Reply:
        id_ = endpoint_id_of(endpoint_id)
        await self._kit.use_cases.change_endpoint(by, id_, {"enabled": False})
        return see_other(address(f"{PATH}/{id_}", done="webhook-disabled"))

    async def delete(self, by: Principal, endpoint_id: str) -> Reply:
        await self._kit.use_cases.delete_endpoint(by, endpoint_id_of(endpoint_id))
        return see_other(address(PATH, done="webhook-deleted"))

    async def delivery(self, by: Principal, delivery_id: str) -> Reply:
        found = await self._kit.use_cases.get_delivery(by, delivery_id_of(delivery_id))
        return self._kit.pages.page("delivery.html", by, delivery=found.delivery, attempts=found.attempts)

    async def resend(self, by: Principal, delivery_id: str) -> Reply:
        delivery = await self._kit.use_cases.resend_delivery(by, delivery_id_of(delivery_id))
        return see_other(address(f"{PATH}/deliveries/{delivery.id}", done="webhook-resent"))

    async def _page(self, by: Principal, endpoint_id: str, attempt: Any = None) -> Reply:
        id_, use = endpoint_id_of(endpoint_id), self._kit.use_cases
        wanted = parameters(_DELIVERIES)
        only = DeliveryFilter(
            endpoint_id=id_, status=wanted.get("status"), undelivered=wanted.get("undelivered", False)
        )
        standing = await use.get_endpoint(by, id_)
        page = await page_of(
            self._kit.cursors.of_deliveries(only),
            wanted,
            lambda before, limit: use.list_deliveries(by, only, before=before, limit=limit),
            lambda delivery: delivery.id,
        )
        answers, missed = await asyncio.gather(self._last_answers(by, [standing]), self._missed(by, [standing]))
        return self._kit.pages.page(
            "webhook.html",
            by,
            standing=standing,
            page=page,
            attempt=attempt,
            answer=answers[id_],
            signs=await self._signs(by),
            missed=missed[id_],
            most_missed=_MOST_MISSED,
            chosen=only.status or "",
            undelivered=_YES if only.undelivered else "",
            statuses=list(DeliveryStatus),
            now=self._kit.now(),
        )

    async def _signs(self, by: Principal) -> Collection[str]:
        """The kinds of signatures that are made here: for one of them, the shop needs a key."""
        return set(Signature) if await self._kit.use_cases.list_signing_keys(by) else {Signature.V1}

    async def _missed(self, by: Principal, standings: Sequence[Standing]) -> Mapping[EndpointId, Part[int]]:
        """Count the events up to the place of each endpoint that it lacks: they are on their way, or were given up."""

        async def count(standing: Standing) -> int:
            if not standing.progress.is_troubled:
                return 0
            only = DeliveryFilter(endpoint_id=standing.id, undelivered=True)
            return len(await self._kit.use_cases.list_deliveries(by, only, limit=_MOST_MISSED))

        return await self._of_each("events that receivers do not have", standings, count)

    async def _last_answers(self, by: Principal, standings: Sequence[Standing]) -> Mapping[EndpointId, Part[str]]:
        """What came of the newest event that each failing receiver did not take, or nothing."""

        async def answer(standing: Standing) -> str:
            if standing.progress.failing_since is None:
                return ""
            only = DeliveryFilter(endpoint_id=standing.id, status=DeliveryStatus.RETRYING)
            found = await self._kit.use_cases.list_deliveries(by, only, limit=1)
            return found[0].outcome if found else ""

        return await self._of_each("answers of receivers", standings, answer)

    async def _of_each(
        self, name: str, standings: Sequence[Standing], ask: Callable[[Standing], Awaitable[T]]
    ) -> Mapping[EndpointId, Part[T]]:
        """Ask for a part of each, one after the other: together they take one connection, and the time of one part."""
        found: dict[EndpointId, Part[T]] = {}

        async def all_of_them() -> None:
            for each in standings:
                found[each.id] = Part(await ask(each))

        whole = await self._kit.parts.ask(name, all_of_them())
        late: Part[T] = Part(None, whole.unknown_since, whole.why)
        return {each.id: found.get(each.id, late) for each in standings}
