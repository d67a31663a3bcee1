"""The message queue with a dashboard: a message is accepted as a job, and listed once it is stored."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import msgspec
from attrs import frozen
from msgspec import Meta, Struct

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from domain.jobs.job import Job
from domain.message import MAX_CONTENT, Message
from entrypoints.http.bodies.common import LookedThrough
from entrypoints.http.decoding import read_json_if_any
from entrypoints.http.ids import job_id_of
from entrypoints.http.problems import Problem
from entrypoints.http.refusals import InvalidRequest, in_body
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.ancestors.common import ErrorBody, as_error
from entrypoints.http.routes.route import Route

# The newest ones.
_LISTED: Final = 1000
_MISSING: Final = "Content is required"


class AddMessageBody(LookedThrough, frozen=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(max_length=MAX_CONTENT)] | None = None


class EnqueuedBody(Struct, frozen=True):
    message: str
    job_id: UUID


class MessageBody(Struct, frozen=True):
    id: UUID
    content: str
    timestamp: datetime

    @classmethod
    def of(cls, message: Message) -> "MessageBody":
        return cls(message.id, message.content, message.created_at)


class JobBody(Struct, frozen=True):
    job_id: UUID
    status: str
    attempts: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> "JobBody":
        return cls(job.id, job.status.value, job.attempts, job.error, job.created_at, job.finished_at)


_ADD: Final = msgspec.json.Decoder(AddMessageBody)
_EXAMPLE: Final = AddMessageBody(content="Hello")


def add_message_route(prefix: str, use_cases: UseCases) -> Route:
    return Route(
        "POST",
        f"{prefix}/add_message",
        Scope.ORDERS_WRITE,
        _Handlers(use_cases).add,
        body=_ADD,
        needs_body=False,
        example=_EXAMPLE,
        wording=_as_error,
    )


def messages_routes(prefix: str, use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    job = f"{prefix}/jobs/<job_id>"
    return [
        add_message_route(prefix, use_cases),
        Route("GET", f"{prefix}/messages", Scope.ORDERS_READ, handlers.listed, wording=_as_error),
        Route("GET", job, Scope.ORDERS_READ, handlers.job, wording=_as_error),
        Route("POST", f"{job}/retry", Scope.ORDERS_WRITE, handlers.retry, wording=_as_error),
    ]


def _as_error(problem: Problem) -> tuple[Struct, HTTPStatus]:
    if any((error.pointer, error.code) == ("/content", "required") for error in problem.errors):
        return ErrorBody(_MISSING), HTTPStatus.BAD_REQUEST
    return as_error(problem)


@frozen
class _Handlers:
    _use_cases: UseCases

    async def add(self, by: Principal) -> Reply:
        body = await read_json_if_any(_ADD)
        if body is None or not body.content:
            raise InvalidRequest(in_body("content", _MISSING, "required"))
        job = await self._use_cases.post_message(by, body.content)
        return reply(EnqueuedBody("Message enqueued", job.id), HTTPStatus.ACCEPTED)

    async def listed(self, by: Principal) -> Reply:
        """The newest stand last, as they came."""
        newest = await self._use_cases.list_messages(by, order_id=None, before=None, limit=_LISTED)
        return reply([MessageBody.of(message) for message in reversed(newest)])

    async def job(self, by: Principal, job_id: str) -> Reply:
        return reply(JobBody.of(await self._use_cases.get_job(by, job_id_of(job_id))))

    async def retry(self, by: Principal, job_id: str) -> Reply:
        return reply(JobBody.of(await self._use_cases.retry_job(by, job_id_of(job_id))))
