"""Messages that failed: in groups, one by one, what a replay would do, and what a person decides."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.messaging.subscriptions import INTAKE
from application.operations.bulk import BulkRequest
from application.operations.bulk_operations import BulkOperation
from application.operations.find_letters import LettersFound
from application.operations.trial import Trial
from application.ports.payments import ProviderSilence
from domain.dead_letter import DeadLetter
from domain.dead_letter_groups import CauseFilter, cause_in
from domain.jobs.job import FINISHED
from domain.orders.events import Event
from entrypoints.http import query
from entrypoints.http.bodies.dead_letters import event_in
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.order_query import InvalidSearch, id_part
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.parts import Part
from entrypoints.http.console.requests import RefusedAct, form, optional, parameters
from entrypoints.http.ids import letter_id_of, whole_number_of
from entrypoints.http.pages import page_of
from entrypoints.http.query import Reader
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

# In a link to a group, an empty place is one that is not known.
_FIND: Final[Mapping[str, Reader]] = {"q": str}
_CAUSE: Final = {"queue": optional(query.queue), "error": optional(query.error), "place": query.place}
_LIST: Final = {**_CAUSE, "cursor": query.cursor}
_MOST_SHOWN: Final = 65_536
# How many of the newest bulk operations are looked through for those that are at work.
_MOST_RUNNING: Final = 10


def dead_letters_screens(kit: Kit) -> list[Route]:
    screen, replay, discard = _Screens(kit), Scope.DEAD_LETTERS_REPLAY, Scope.DEAD_LETTERS_DISCARD
    one = "/console/dead-letters/<letter_id>"
    return [
        Route("GET", "/console/dead-letters", replay, screen.groups),
        Route("GET", "/console/dead-letters/group", replay, screen.group),
        Route("GET", one, replay, screen.letter),
        Route("POST", f"{one}/try", replay, screen.try_copy),
        Route("POST", f"{one}/replay", replay, screen.replay),
        Route("POST", f"{one}/discard", discard, screen.discard),
    ]


@frozen
class _Screens:
    _kit: Kit

    async def groups(self, by: Principal) -> Reply:
        text = parameters(_FIND).get("q", "").strip()
        if text:
            return await self._find(by, text)
        found, running = await asyncio.gather(
            self._kit.parts.ask("dead letters", self._kit.use_cases.group_dead_letters(by)),
            _running(self._kit, by, CauseFilter()),
        )
        return self._kit.pages.page("dead_letters.html", by, found=found, link=link_to, running=running, q="")

    async def _find(self, by: Principal, text: str) -> Reply:
        """Show the letters of an order, or lead to the one with this number."""
        if whole_number_of(text) is not None:
            return see_other(f"/console/dead-letters/{text}")
        found, problem = LettersFound([], more=False), ""
        try:
            found = await self._kit.use_cases.find_letters(by, id_part(text), limit=query.DEFAULT_LIMIT)
        except InvalidSearch as error:
            problem = error.rule
        return self._kit.pages.page("dead_letters_found.html", by, found=found, problem=problem, q=text)

    async def group(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _LIST)
        only = CauseFilter(**{name: wanted.get(name) for name in _CAUSE})
        return await group_page(self._kit, by, only, cursor=wanted.get("cursor"))

    async def letter(self, letter_id: str, by: Principal) -> Reply:
        return await self._show(by, letter_id_of(letter_id), None)

    async def try_copy(self, letter_id: str, by: Principal) -> Reply:
        message = (await form()).get("message", "")
        return await self._show(by, letter_id_of(letter_id), message)

    async def replay(self, letter_id: str, by: Principal) -> Reply:
        id_, sent = letter_id_of(letter_id), await form()
        reason = sent.get("reason", "")
        if "message" in sent:
            await self._kit.use_cases.replay_edited(by, id_, _event(sent["message"]), reason=reason)
        else:
            _expect_done(await self._kit.use_cases.replay_dead_letters(by, [id_], reason=reason))
        return see_other(f"/console/dead-letters/{id_}?done=letter-replayed")

    async def discard(self, letter_id: str, by: Principal) -> Reply:
        id_, sent = letter_id_of(letter_id), await form()
        _expect_done(await self._kit.use_cases.discard_dead_letters(by, [id_], reason=sent.get("reason", "")))
        return see_other(f"/console/dead-letters/{id_}?done=letter-discarded")

    async def _show(self, by: Principal, id_: int, copy: str | None) -> Reply:
        use_cases = self._kit.use_cases
        letter = await use_cases.get_dead_letter(by, id_)
        instead = None if copy is None else _event(copy)
        trial, silence, names = await asyncio.gather(
            self._trial(by, letter, instead),
            silence_of(self._kit, by, letter.consumer),
            self._kit.names_of(by, [] if letter.decided_by is None else [letter.decided_by]),
        )
        message = letter.message.body[:_MOST_SHOWN].decode(errors="backslashreplace")
        return self._kit.pages.page(
            "dead_letter.html",
            by,
            letter=letter,
            names=names,
            cause=cause_in(letter.consumer, letter.message.reason),
            query=_query_of(letter),
            message=message,
            copy=message if copy is None else copy.replace("\r\n", "\n"),
            is_copy=copy is not None,
            trial=trial,
            silence=silence,
            may_discard=Scope.DEAD_LETTERS_DISCARD in by.scopes,
        )

    async def _trial(self, by: Principal, letter: DeadLetter, instead: Event | None) -> Part[Trial] | None:
        """What a replay would do of a letter that waits for a decision."""
        if letter.decision is not None:
            return None
        tried = self._kit.use_cases.try_dead_letter(by, letter.id, instead=instead)
        return await self._kit.parts.ask(f"dead letter {letter.id}", tried)


async def group_page(
    kit: Kit, by: Principal, only: CauseFilter, *, cursor: str | None = None, refused: RefusedAct | None = None
) -> Reply:
    """Show the letters of a group. `refused` is an act on all of them for which something else has to be typed."""
    page = await page_of(
        kit.cursors.of_dead_letters(only, decided=False),
        {} if cursor is None else {"cursor": cursor},
        lambda after, limit: kit.use_cases.list_dead_letters(by, only=only, after=after, limit=limit),
        lambda letter: letter.id,
    )
    measured = await kit.use_cases.measure_bulk(by, BulkRequest(act="replay", only=only))
    running, silence = await asyncio.gather(_running(kit, by, only), silence_of(kit, by, only.queue))
    return kit.pages.page(
        "dead_letter_group.html",
        by,
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        letters=page.items,
        next=page.next,
        only=only,
        measured=measured,
        refused=refused,
        running=running,
        silence=silence,
        query=_query(only),
        may_discard=Scope.DEAD_LETTERS_DISCARD in by.scopes,
    )


async def silence_of(kit: Kit, by: Principal, queue: str | None) -> Part[ProviderSilence | None]:
    """Since when the provider has not answered, if the messages of the queue, or of all queues, may need it."""
    if queue == INTAKE.name or Scope.ORDERS_READ not in by.scopes:
        return Part(None)
    return await kit.parts.ask("the payment provider", kit.use_cases.see_provider(by))


async def _running(kit: Kit, by: Principal, only: CauseFilter) -> Part[list[BulkOperation]]:
    """Return the bulk operations that are at work on letters of this group."""
    newest = await kit.parts.ask("bulk operations", kit.use_cases.list_bulk(by, limit=_MOST_RUNNING))
    if newest.value is None:
        return Part(None, newest.unknown_since, newest.why)
    return Part(
        [
            each
            for each in newest.value.operations
            if each.job.status not in FINISHED
            and isinstance(each.request.only, CauseFilter)
            and each.request.only.meets(only)
        ]
    )


def _event(message: str) -> Event:
    """Return the event that a form has. A browser ends lines with CR and LF."""
    return event_in(message.replace("\r\n", "\n"))


def _expect_done(outcomes: Any) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def link_to(group: Any) -> str:
    """Return the address of the page of a group."""
    cause = group.cause
    return f"/console/dead-letters/group?{_query(CauseFilter(queue=cause.queue, error=cause.error, place=cause.place))}"


def _query_of(letter: DeadLetter) -> str:
    cause = cause_in(letter.consumer, letter.message.reason)
    return _query(CauseFilter(queue=cause.queue, error=cause.error, place=cause.place))


def _query(only: CauseFilter) -> str:
    given = {"queue": only.queue, "error": only.error, "place": only.place}
    return urlencode({name: value for name, value in given.items() if value is not None})
