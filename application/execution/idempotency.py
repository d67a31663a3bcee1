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
    """Another transaction is working on a request under the key. Its response is stored when it ends."""


class KeyReused(DomainError):
    """The key was used before, for a different request."""

    code: ClassVar[str] = "idempotency_key_reused"


@frozen
class Keyed(Generic[C]):
    """A call under a key: it is done once, however often it is made. `fingerprint` is a hash of the request."""

    call: C
    key: IdempotencyKey
    fingerprint: str


@frozen
class Replayed:
    """The stored response, for a call that was made before."""

    answer: Answer


# The outcome of one call. A refusal under a key is an answer like any other, and is stored as well.
Outcome = Answer | Replayed | KeyInFlight


async def once(
    tx: Transaction,
    calls: Sequence[C | Keyed[C]],
    work: Callable[[Sequence[C]], Awaitable[Sequence[Answer]]],
    *,
    now: Clock,
) -> list[Outcome]:
    """Do those calls that were not done yet under their keys; replay the stored responses of the others.

    Work and responses are written in one transaction: there is never an effect without its key, nor a key without its
    effect. An exception from `work` is no answer and is not stored. Nor is `UnknownOrder`, because the order may be
    recorded later.
    """
    kept = await tx.idempotency_keys.claim({call.key for call in calls if isinstance(call, Keyed)})
    # If several calls in this batch have the same new key, the first is done and its response is replayed to the
    # others.
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
        return KeyInFlight("another request under this idempotency key is in progress; try again")
    if kept.fingerprint != call.fingerprint:
        return KeyReused("this idempotency key was used for a different request; use a new key")
    return Replayed(kept.answer)
