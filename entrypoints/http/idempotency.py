"""The header Idempotency-Key: a client that got no response repeats its request safely under the same key."""

import re
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from typing import Final, TypeVar, cast

import msgspec
from quart import request
from werkzeug.datastructures import Headers

from adapters.codecs.plain import plain
from application.execution.idempotency import Keyed, Replayed
from application.intake.queue_orders import Queued
from application.jobs.add_job import StartedJob
from application.ports.idempotency import IdempotencyKey
from domain.errors import DomainError
from domain.orders.order import Order
from entrypoints.http.bodies.jobs import JobAcceptedBody
from entrypoints.http.decoding import read_body
from entrypoints.http.headers import KEY_HEADERS
from entrypoints.http.prefix import here
from entrypoints.http.refusals import InvalidRequest, in_body, in_header
from entrypoints.http.replies import Reply, reply

REPLAYED: Final = "Idempotent-Replayed"

# Where clients of some other systems send the key.
_MEMBER: Final = "idempotency_key"
_KEY: Final = re.compile(r"[ -~]{1,255}")
_RULE: Final = "it is 1 to 255 printable ASCII characters"
_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain, order="deterministic")

C = TypeVar("C")
T = TypeVar("T")


async def keyed(call: C, *, scope: str, in_the_body: str | None = None) -> C | Keyed[C]:
    """Return the call under the client's key, or the call alone if there is none. Raise `InvalidRequest`."""
    key = key_in(request.headers)
    if in_the_body is not None:
        key = _same_key(key, in_the_body)
    return call if key is None else Keyed(call, IdempotencyKey(scope, key), _fingerprint(await read_body()))


def key_in(headers: Headers) -> str | None:
    """Return the client's key, or None if there is none. Raise `InvalidRequest`."""
    values = [(name, value) for name in KEY_HEADERS for value in headers.getlist(name)]
    if not values:
        return None
    name, value = values[0]
    if len(values) > 1:
        raise InvalidRequest(in_header(name, "send the header only once", "repeated"))
    key = value.strip(" \t")
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest(in_header(name, _RULE))
    return key


def _same_key(in_the_header: str | None, in_the_body: str) -> str:
    if _KEY.fullmatch(in_the_body) is None:
        raise InvalidRequest(in_body(_MEMBER, _RULE))
    if in_the_header not in {None, in_the_body}:
        raise InvalidRequest(in_body(_MEMBER, "it is another one than in the header: send one key", "repeated"))
    return in_the_body


def _fingerprint(body: bytes) -> str:
    """Hash the request. Equal requests have equal hashes in every release, however their JSON is formatted.

    It is the same request whether its key stands in the header or in the body.
    """
    content = msgspec.json.decode(body.strip() or b"{}")
    content.pop(_MEMBER, None)
    return sha256(f"{request.method} {request.path}\n".encode() + _ENCODER.encode(content)).hexdigest()


class RefusedBefore(Exception):
    """The request was refused before under its key. The response equals the first one."""

    def __init__(self, refusal: DomainError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def answered(outcome: T | Replayed, reply_of: Callable[[T], Reply]) -> Reply:
    """Return the response. A replayed response equals the first one, and has the header Idempotent-Replayed.

    Raise `RefusedBefore`.
    """
    if not isinstance(outcome, Replayed):
        return reply_of(outcome)
    answer = outcome.answer
    # The scope of a key is that of one kind of request, so what is stored under it is of the kind that is asked for.
    if isinstance(answer, DomainError):
        raise RefusedBefore(answer)
    return replayed(reply_of(cast("T", answer)))


def queued(outcome: Queued, reply_of: Callable[[Order], Reply]) -> Reply:
    """Return the response for an order that is not recorded yet, marked as in `answered` if it is replayed."""
    first = reply_of(outcome.order)
    return replayed(first) if outcome.replayed else first


def started(outcome: StartedJob, place: str) -> Reply:
    """Return the response for a job, of which `place` with its id tells more, marked as in `answered` if replayed."""
    first = reply(JobAcceptedBody(outcome.id), HTTPStatus.ACCEPTED, ("Location", here(f"{place}/{outcome.id}")))
    return replayed(first) if outcome.replayed else first


def replayed(first: Reply) -> Reply:
    """Return the response as one that was given before."""
    first.headers[REPLAYED] = "true"
    return first
