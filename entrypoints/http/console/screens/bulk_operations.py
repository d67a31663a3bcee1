"""Bulk operations: who has started which, how far they are, and what became of each item."""

import asyncio
from functools import partial
from typing import Any, Final, cast

from attrs import frozen

from application.access.principal import Principal
from application.operations.bulk import (
    LOOKS,
    NEEDS,
    ON_ORDERS,
    Act,
    BulkRequest,
    ChosenOrders,
    Confirmation,
    CountNotConfirmed,
)
from application.operations.bulk_operations import BulkOperation
from application.operations.results import DONE, FAILED, OPEN, SKIPPED
from application.ports.payments import ProviderSilence
from domain.dead_letter_groups import CauseFilter
from domain.jobs.job import FINISHED
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.order_choice import chosen_orders
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.parts import Part
from entrypoints.http.console.requests import RefusedAct, address, form_pairs, optional, parameters, start_once
from entrypoints.http.console.screens.dead_letters import group_page, silence_of
from entrypoints.http.console.screens.orders import many_page
from entrypoints.http.ids import job_id_of, whole_number_of
from entrypoints.http.refusals import InvalidRequest, in_body, in_query
from entrypoints.http.replies import Reply
from entrypoints.http.routes.bulk import bulk_page
from entrypoints.http.routes.route import Route
from entrypoints.ndjson import rows_in

_LIST: Final = {"cursor": query.cursor}
_OUTCOMES: Final = (DONE, FAILED, SKIPPED, OPEN)
# How many results of an operation are shown. The whole file can be downloaded from the API.
_MOST_SHOWN: Final = 200
# Acts whose outcomes are awaited.
_AWAITED: Final[frozenset[Act]] = frozenset({"replay", "retry"})


def _outcome(text: str) -> str:
    if text not in _OUTCOMES:
        raise InvalidRequest(in_query("outcome", f"it is one of {', '.join(_OUTCOMES)}", "not_one_of"))
    return text


_ONE: Final = {"outcome": optional(_outcome)}


def bulk_operations_screens(kit: Kit) -> list[Route]:
    screen, needs, one = _Screens(kit), frozenset(LOOKS.values()), "/console/bulk-operations/<job_id>"
    return [
        Route("GET", "/console/bulk-operations", needs, screen.all),
        Route("POST", "/console/bulk-operations", frozenset(NEEDS.values()), screen.start),
        Route("GET", one, needs, screen.one),
        Route("POST", f"{one}/stop", needs, screen.stop),
    ]


@frozen
class _Screens:
    _kit: Kit

    async def all(self, by: Principal) -> Reply:
        found, following = await bulk_page(self._kit.use_cases, self._kit.cursors, by, _LIST)
        names = await self._kit.names_of(by, [operation.by for operation in found.operations])
        return self._kit.pages.page(
            "bulk_operations.html",
            by,
            operations=found.operations,
            broken=found.broken,
            names=names,
            next=following,
            on_orders=ON_ORDERS,
            outcomes=_OUTCOMES,
        )

    async def start(self, by: Principal) -> Reply:
        pairs = await form_pairs()
        sent = dict(pairs)
        act, count = sent.get("act"), whole_number_of(sent.get("count", "").strip())
        if act not in NEEDS:
            raise InvalidRequest(in_body("act", f"it is one of {', '.join(NEEDS)}", "not_one_of"))
        only: CauseFilter | ChosenOrders
        if act in ON_ORDERS:
            only = chosen_orders([value for name, value in pairs if name == "id"], sent.get("q", ""), self._kit.now())
        else:
            only = CauseFilter(**{name: sent.get(name) for name in ("queue", "error", "place")})
        wanted = BulkRequest(act=cast(Act, act), only=only, reason=sent.get("reason", ""))
        # A count that is no number is one that is wrong.
        shown = Confirmation(-1 if count is None else count, sent.get("digest", ""))
        try:
            job_id, is_as_sent = await start_once(
                partial(self._kit.use_cases.start_bulk, by, shown=shown), wanted, sent
            )
        except CountNotConfirmed:
            refused = RefusedAct(wanted.act, wanted.reason)
            if isinstance(only, CauseFilter):
                return await group_page(self._kit, by, only, refused=refused)
            return await many_page(self._kit, by, wanted, q=sent.get("q", ""), refused=refused)
        done = "bulk-started" if is_as_sent else "started-before"
        return see_other(address(f"/console/bulk-operations/{job_id}", done=done))

    async def one(self, job_id: str, by: Principal) -> Reply:
        outcome = parameters(_ONE).get("outcome")
        operation = await self._kit.use_cases.get_bulk(by, job_id_of(job_id))
        has_ended = operation.job.status in FINISHED
        results = await self._results(by, operation, outcome)
        names, silence = await asyncio.gather(
            self._kit.names_of(by, [operation.by]), self._silence(by, operation, has_ended=has_ended)
        )
        return self._kit.pages.page(
            "bulk_operation.html",
            by,
            operation=operation,
            names=names,
            on_orders=operation.request.act in ON_ORDERS,
            has_ended=has_ended,
            silence=silence,
            results=results,
            outcomes=_OUTCOMES,
            chosen=outcome or "",
            most_shown=_MOST_SHOWN,
        )

    async def _silence(
        self, by: Principal, operation: BulkOperation, *, has_ended: bool
    ) -> Part[ProviderSilence | None]:
        """Since when the provider has not answered, if the operation may wait for it."""
        wanted = operation.request
        if has_ended or wanted.act not in _AWAITED:
            return Part(None)
        return await silence_of(self._kit, by, wanted.only.queue if isinstance(wanted.only, CauseFilter) else None)

    async def stop(self, job_id: str, by: Principal) -> Reply:
        id_ = job_id_of(job_id)
        await self._kit.use_cases.stop_bulk(by, id_)
        return see_other(f"/console/bulk-operations/{id_}?done=bulk-stopped")

    async def _results(self, by: Principal, operation: BulkOperation, outcome: str | None) -> list[dict[str, Any]]:
        """The first of its results, or of those with this outcome, which may be the last ones of thousands."""
        found: list[dict[str, Any]] = []
        if operation.items is None:
            return found
        async for each in rows_in(lambda at: self._kit.use_cases.read_items(by, operation, at=at)):
            if outcome in {None, each["outcome"]}:
                found.append(each)
            if len(found) == _MOST_SHOWN:
                break
        return found
