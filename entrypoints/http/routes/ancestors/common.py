"""What the interfaces of all four systems share."""

from http import HTTPStatus
from typing import Final, TypeVar, cast

from msgspec import Struct

from application.execution.idempotency import Replayed
from domain.errors import DomainError
from entrypoints.http.problems import Problem
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Open, Route
from entrypoints.readiness import CheckReadiness

T = TypeVar("T")

# A body that can be read, and breaks a rule: those systems made no difference.
_BAD_REQUEST: Final = HTTPStatus.UNPROCESSABLE_ENTITY


class ErrorBody(Struct, frozen=True):
    error: str


class HealthBody(Struct, frozen=True):
    status: str


def as_error(problem: Problem) -> tuple[Struct, HTTPStatus]:
    status = HTTPStatus(problem.status)
    said = "; ".join(f"{error.where.removeprefix('/')}: {error.detail}" for error in problem.errors) or problem.detail
    return ErrorBody(said), HTTPStatus.BAD_REQUEST if status is _BAD_REQUEST else status


def first_answer(outcome: T | Replayed) -> T:
    """Return the answer, also one that was stored. Raise a stored refusal."""
    if not isinstance(outcome, Replayed):
        return outcome
    if isinstance(outcome.answer, DomainError):
        raise outcome.answer
    return cast("T", outcome.answer)


def health_route(prefix: str, check_readiness: CheckReadiness) -> Route:
    async def health() -> Reply:
        if (await check_readiness()).orders:
            return reply(HealthBody("ok"))
        return reply(HealthBody("unavailable"), HTTPStatus.SERVICE_UNAVAILABLE)

    return Route(
        "GET",
        f"{prefix}/health",
        Open.TO_ALL,
        health,
        summary="Say whether orders can be placed",
        answers={HTTPStatus.OK: HealthBody("ok"), HTTPStatus.SERVICE_UNAVAILABLE: HealthBody("unavailable")},
        wording=as_error,
    )
