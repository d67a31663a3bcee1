from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from application.errors import NotDone
from application.ports.environment import Clock
from application.ports.idempotency import Answer, IdempotencyKey, StoredResponse
from application.ports.persistence import Transaction
from domain.errors import DomainError, UnknownOrder

C = TypeVar("C")


class KeyInFlight(NotDone):
    """Another transaction is at work under the key; when it has ended, its answer is there to be had."""


class KeyReused(DomainError):
    """Something else was asked for under the key before."""

    code: ClassVar[str] = "idempotency_key_reused"


@frozen
class Keyed(Generic[C]):
    """A call under a key: it is done once, however often it is made. `fingerprint` stands for what it asks."""

    call: C
    key: IdempotencyKey
    fingerprint: str


@frozen
class Replayed:
    """The answer of the first time, to a call that was made again."""

    answer: Answer


# What becomes of one call: a refusal under a key is an answer like any other, and kept as well.
Outcome = Answer | Replayed | KeyInFlight


async def once(
    tx: Transaction,
    calls: Sequence[C | Keyed[C]],
    work: Callable[[Sequence[C]], Awaitable[Sequence[Answer]]],
    *,
    now: Clock,
) -> list[Outcome]:
    """Do, of these calls, those that were not done yet under their keys; answer the others as they were answered.

    It is all one transaction with the work: there is never an effect without its key, nor a key without its effect.
    What `work` raises is no answer, and is not kept; nor is it that there is no such order, which may yet be recorded.
    """
    kept = await tx.idempotency_keys.claim({call.key for call in calls if isinstance(call, Keyed)})
    # Of those under one new key in this batch the first is done, and answers for the others.
    first: dict[IdempotencyKey, int] = {}
    for place, call in enumerate(calls):
        if isinstance(call, Keyed) and call.key in kept and kept[call.key] is None:
            first.setdefault(call.key, place)
    to_do = {p: call for p, call in enumerate(calls) if not isinstance(call, Keyed) or first.get(call.key) == p}
    answers = await work([call.call if isinstance(call, Keyed) else call for call in to_do.values()])
    done = dict(zip(to_do, answers, strict=True))
    fresh = {
        call.key: StoredResponse(call.key, call.fingerprint, done[place], now())
        for place, call in to_do.items()
        if isinstance(call, Keyed)
    }
    await tx.idempotency_keys.add_many([new for new in fresh.values() if not isinstance(new.answer, UnknownOrder)])
    return [
        _again(call, fresh.get(call.key) or kept.get(call.key))
        if isinstance(call, Keyed) and place not in done
        else done[place]
        for place, call in enumerate(calls)
    ]


def _again(call: Keyed[C], kept: StoredResponse | None) -> Outcome:
    if kept is None:
        return KeyInFlight("a request under this key is being worked on")
    if kept.fingerprint != call.fingerprint:
        return KeyReused("something else was asked for under this key before")
    return Replayed(kept.answer)
