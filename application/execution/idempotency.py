from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, Generic, TypeVar

from attrs import frozen

from application.errors import NotDone
from application.execution.conditional import PreconditionFailed
from application.ports.idempotency import Answer, IdempotencyKey, StoredResponse
from application.ports.persistence import Transaction
from domain.catalogue.product import Product
from domain.errors import DomainError, UnknownOrder, UnknownProduct
from domain.orders.order import Order

C = TypeVar("C")
A = TypeVar("A", Order, Product)


class KeyInFlight(NotDone):
    """Another transaction is working on a request under the key. It stores its response when it commits."""


class KeyReused(DomainError):
    """The key was used for a different request before."""

    code: ClassVar[str] = "idempotency_key_reused"

    def __init__(self, message: str = "this idempotency key was used for a different request; use a new key") -> None:
        super().__init__(message)


# Refusals that say nothing about the next request under the same key.
_NOT_STORED: Final = (UnknownOrder, PreconditionFailed, KeyReused)


def _is_stored(answer: Answer) -> bool:
    # An unknown product is part of a request with a field, and without one it is what the request is about.
    is_missing = isinstance(answer, UnknownProduct) and answer.field is None
    return not (is_missing or isinstance(answer, _NOT_STORED))


@frozen
class Keyed(Generic[C]):
    """A call under a key: it is done once, however often it is repeated. `fingerprint` is a hash of the request."""

    call: C
    key: IdempotencyKey
    fingerprint: str


@frozen
class Replayed:
    """The stored response to an earlier call under the same key."""

    answer: Answer


# The outcome of one call about an order, or about a product. A refusal is a response like any other: under a key, it is
# stored as well.
Outcome = Order | DomainError | Replayed | NotDone
ProductOutcome = Product | DomainError | Replayed | NotDone


async def once(
    tx: Transaction,
    calls: Sequence[C | Keyed[C]],
    work: Callable[[Sequence[C]], Awaitable[Sequence[A | DomainError | NotDone]]],
) -> list[A | DomainError | Replayed | NotDone]:
    """Do the calls whose keys have no stored response, and replay the stored responses of the others.

    Effects and responses are written in one transaction: an effect is never stored without its key, nor a key without
    its effect. An exception that `work` raises is not stored. What is unknown is not stored either, because it
    may be recorded later, nor is `PreconditionFailed`, because the caller decides again, nor what is not done.
    """
    kept = await tx.idempotency_keys.claim({call.key for call in calls if isinstance(call, Keyed)})
    # If several calls in this batch have the same new key, the first is done. The others get its response, replayed.
    first: dict[IdempotencyKey, int] = {}
    for place, call in enumerate(calls):
        if isinstance(call, Keyed) and call.key in kept and kept[call.key] is None:
            first.setdefault(call.key, place)
    to_do = {p: call for p, call in enumerate(calls) if not isinstance(call, Keyed) or first.get(call.key) == p}
    answers = await work([call.call if isinstance(call, Keyed) else call for call in to_do.values()])
    done = dict(zip(to_do, answers, strict=True))
    answered = {call.key: done[place] for place, call in to_do.items() if isinstance(call, Keyed)}
    fresh = {
        call.key: StoredResponse(call.key, call.fingerprint, answer)
        for call in to_do.values()
        if isinstance(call, Keyed) and not isinstance(answer := answered[call.key], NotDone)
    }
    await tx.idempotency_keys.add_many([new for new in fresh.values() if _is_stored(new.answer)])
    return [
        _again(call, answered.get(call.key), fresh.get(call.key) or kept.get(call.key))
        if isinstance(call, Keyed) and place not in done
        else done[place]
        for place, call in enumerate(calls)
    ]


def _again(call: Keyed[C], first: object, kept: StoredResponse | None) -> DomainError | Replayed | NotDone:
    if isinstance(first, NotDone):
        return first
    if kept is None:
        return KeyInFlight("another request under this idempotency key is in progress; try again")
    if kept.fingerprint != call.fingerprint:
        return KeyReused()
    return Replayed(kept.answer)
