from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from entrypoints.http import examples
from entrypoints.http.bodies.admin import ResetBody, ResetDoneBody, SeedBody
from entrypoints.http.decoding import read_json
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed, started
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

_KEY: Final = frozenset({IDEMPOTENCY_KEY})
_SEED: Final = msgspec.json.Decoder(SeedBody)
_RESET: Final = msgspec.json.Decoder(ResetBody)


def admin_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    return [
        Route(
            "POST",
            "/admin/seed",
            Scope.ADMIN,
            handlers.seed,
            honours=_KEY,
            body=_SEED,
            example=examples.SEED,
            summary="Place example orders",
            answers={HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
        ),
        Route(
            "POST",
            "/admin/reset",
            Scope.ADMIN,
            handlers.reset,
            body=_RESET,
            example=examples.RESET,
            summary="Remove all orders",
            answers={HTTPStatus.OK: examples.RESET_DONE},
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def seed(self, by: Principal) -> Reply:
        call = await keyed((await read_json(_SEED)).count, scope="seed")
        return started(await self._use_cases.seed_orders(by, call), "/jobs")

    async def reset(self, by: Principal) -> Reply:
        return reply(ResetDoneBody(await self._use_cases.reset_shop(by, (await read_json(_RESET)).confirm)))
