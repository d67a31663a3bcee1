from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from domain.dead_letter import DeadLetter
from domain.dead_letter_groups import CauseFilter
from entrypoints.http import examples, query
from entrypoints.http.bodies.dead_letters import (
    DeadLetterBody,
    DeadLettersBody,
    DiscardBody,
    LetterGroupsBody,
    ReplayBody,
    TrialBody,
    TryBody,
)
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json, read_json_if_any
from entrypoints.http.ids import letter_id_of
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

_CAUSE: Final = {"queue": query.queue, "error": query.error, "place": query.place}
_PARAMETERS: Final = {**_CAUSE, "decided": query.decided, "limit": query.limit, "cursor": query.cursor}
_TRY: Final = msgspec.json.Decoder(TryBody)
_REPLAY: Final = msgspec.json.Decoder(ReplayBody)
_DISCARD: Final = msgspec.json.Decoder(DiscardBody)
# It was decided already, or is no event of this shop.
_CONFLICT: Final = frozenset({HTTPStatus.CONFLICT})


def dead_letters_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    one = "/dead-letters/<letter_id>"
    return [
        Route(
            "GET",
            "/dead-letters/groups",
            Scope.DEAD_LETTERS_REPLAY,
            handlers.groups,
            summary="Group the waiting dead letters by queue, error and place",
            answers={HTTPStatus.OK: examples.LETTER_GROUPS},
        ),
        Route(
            "GET",
            "/dead-letters",
            Scope.DEAD_LETTERS_REPLAY,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List dead letters, oldest first",
            answers={HTTPStatus.OK: examples.DEAD_LETTERS},
        ),
        Route(
            "GET",
            one,
            Scope.DEAD_LETTERS_REPLAY,
            handlers.get,
            summary="Read a dead letter",
            answers={HTTPStatus.OK: examples.DEAD_LETTER},
        ),
        Route(
            "POST",
            f"{one}/try",
            Scope.DEAD_LETTERS_REPLAY,
            handlers.attempt,
            body=_TRY,
            needs_body=False,
            example=TryBody(),
            summary="Tell what a replay would do, and do nothing",
            answers={HTTPStatus.OK: examples.TRIAL},
        ),
        Route(
            "POST",
            f"{one}/replay",
            Scope.DEAD_LETTERS_REPLAY,
            handlers.replay,
            body=_REPLAY,
            needs_body=False,
            example=ReplayBody("the provider is back"),
            summary="Process a dead letter again",
            answers={HTTPStatus.OK: examples.DEAD_LETTER},
            refusals=_CONFLICT,
        ),
        Route(
            "POST",
            f"{one}/discard",
            Scope.DEAD_LETTERS_DISCARD,
            handlers.discard,
            body=_DISCARD,
            example=DiscardBody("a test of the till"),
            summary="Discard a dead letter",
            answers={HTTPStatus.OK: examples.DEAD_LETTER},
            refusals=_CONFLICT,
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def groups(self, by: Principal) -> Reply:
        return reply(LetterGroupsBody.of(await self._use_cases.group_dead_letters(by)))

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        only, decided = CauseFilter(**{name: wanted.get(name) for name in _CAUSE}), wanted.get("decided", False)
        page = await page_of(
            self._cursors.of_dead_letters(only, decided=decided),
            wanted,
            lambda after, limit: self._use_cases.list_dead_letters(
                by, only=only, decided=decided, after=after, limit=limit
            ),
            lambda letter: letter.id,
        )
        body = DeadLettersBody([DeadLetterBody.of(letter) for letter in page.items], page.next)
        return page_reply(body)

    async def get(self, letter_id: str, by: Principal) -> Reply:
        letter = await self._use_cases.get_dead_letter(by, letter_id_of(letter_id))
        return reply(DeadLetterBody.of(letter, whole=True))

    async def attempt(self, letter_id: str, by: Principal) -> Reply:
        id_, body = letter_id_of(letter_id), await read_json_if_any(_TRY) or TryBody()
        return reply(TrialBody.of(await self._use_cases.try_dead_letter(by, id_, instead=body.instead())))

    async def replay(self, letter_id: str, by: Principal) -> Reply:
        id_, body = letter_id_of(letter_id), await read_json_if_any(_REPLAY) or ReplayBody()
        if (instead := body.instead()) is not None:
            return _decided(await self._use_cases.replay_edited(by, id_, instead, reason=body.reason))
        [outcome] = await self._use_cases.replay_dead_letters(by, [id_], reason=body.reason)
        return _decided(outcome)

    async def discard(self, letter_id: str, by: Principal) -> Reply:
        id_, body = letter_id_of(letter_id), await read_json(_DISCARD)
        [outcome] = await self._use_cases.discard_dead_letters(by, [id_], reason=body.reason)
        return _decided(outcome)


def _decided(outcome: DeadLetter | Exception) -> Reply:
    if isinstance(outcome, Exception):
        raise outcome
    return reply(DeadLetterBody.of(outcome, whole=True))
