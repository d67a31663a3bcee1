from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from attrs import field, frozen

from application.errors import Trouble
from application.execution.batching import each_alone
from application.execution.working_for import request_id
from application.ports.audit import MAX_TEXT, AuditEntry, Caller
from application.ports.environment import Clock
from application.ports.messaging import DeadDelivery, DeadLetterQueue
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadLetter, DeadMessage, UnknownDeadLetter
from domain.errors import DomainError
from domain.orders.events import Event

# Together they fit into the reason of a dead letter.
_LONGEST_REASON: Final = 1000
_LONGEST_REFUSAL: Final = 200


class NotRecorded(Exception):
    """The database refuses a dead letter, however it is written."""


@frozen
class RecordDeadLetters:
    """Move a consumer's dead letters from their queue into the table, where a person finds them."""

    _consumer: str
    _queue: DeadLetterQueue
    _unit_of_work: UnitOfWork
    _now: Clock
    _limit: int = field(default=100, kw_only=True)

    async def receive(self) -> Sequence[DeadDelivery]:
        """Wait for dead messages. Cancelling this call loses none. Raise `Trouble` when the broker is gone."""
        return await self._queue.receive(self._limit)

    async def record(self, deliveries: Sequence[DeadDelivery]) -> None:
        """Record each by itself if they can't be recorded together.

        Raise `Trouble` or `NotRecorded` after the others were recorded: the broker delivers again what was not.
        """
        outcomes = await each_alone(self._record, [delivery.message for delivery in deliveries])
        refused = [at for at, outcome in enumerate(outcomes) if _is_refused(outcome)]
        plain = [self._plain(deliveries[at].message, outcomes[at]) for at in refused]
        for at, outcome in zip(refused, await each_alone(self._record, plain), strict=True):
            outcomes[at] = outcome
        # A crash before this line is safe: a message that is delivered again becomes the same dead letter.
        await self._queue.ack([d for d, outcome in zip(deliveries, outcomes, strict=True) if outcome is None])
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if isinstance(outcome, Trouble):
                raise outcome
            if outcome is not None:
                raise NotRecorded(
                    f"a dead letter of {self._consumer} can't be recorded, and stays in its queue"
                    f" (SHA-256 of its {len(delivery.message.body)} bytes: {delivery.message.digest}): {outcome}"
                ) from outcome

    async def _record(self, messages: Sequence[DeadMessage]) -> Sequence[Exception | None]:
        if messages:
            async with self._unit_of_work() as tx:
                await tx.dead_letters.record(self._consumer, messages)
        return [None] * len(messages)

    def _plain(self, message: DeadMessage, error: Exception | None) -> DeadMessage:
        """The same bytes, without what the database may have refused."""
        now = self._now()
        refused = f"{type(error).__name__}: {error}"[:_LONGEST_REFUSAL]
        reason = f"{message.reason[:_LONGEST_REASON]} (its attempts and times can't be stored: {refused})"
        return DeadMessage(body=message.body, reason=reason, attempts=1, first_at=now, last_at=now)


def _is_refused(outcome: Exception | None) -> bool:
    return outcome is not None and not isinstance(outcome, Trouble)


@frozen
class ListDeadLetters:
    """A page of the dead letters that wait for a decision, or with `decided` of all, oldest first."""

    _unit_of_work: UnitOfWork

    async def __call__(self, *, decided: bool, after: int | None, limit: int) -> list[DeadLetter]:
        async with self._unit_of_work.reading() as tx:
            return await tx.dead_letters.page(decided=decided, after=after, limit=limit)

    async def get(self, id_: int) -> DeadLetter:
        """Raise `UnknownDeadLetter`."""
        async with self._unit_of_work.reading() as tx:
            return _existing((await tx.dead_letters.get_many({id_})).get(id_), id_)


@frozen
class DecideDeadLetters:
    """Carry out a person's decision about dead letters, and record who decided, and when.

    A letter that is decided already, can't be read or can't be written is refused alone. Raise `Trouble` if the
    database is gone.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _page: int = field(default=200, kw_only=True)

    async def replay(self, ids: Sequence[int], *, by: str) -> Sequence[DeadLetter | Exception]:
        """Re-enqueue their events in the transaction that marks them. A repetition changes nothing.

        A message that was never an event of this shop is refused: replayed, it would leave here as one.
        """
        return await _each_alone(partial(self._replay, by), ids)

    async def discard(self, ids: Sequence[int], *, by: str) -> Sequence[DeadLetter | Exception]:
        return await _each_alone(partial(self._discard, by), ids)

    async def replay_all(self, *, by: str) -> Sequence[DeadLetter | Exception]:
        """All that wait for a decision."""
        return await self._each_page(lambda ids: self.replay(ids, by=by))

    async def discard_all(self, *, by: str) -> Sequence[DeadLetter | Exception]:
        """All that wait for a decision."""
        return await self._each_page(lambda ids: self.discard(ids, by=by))

    async def _each_page(
        self, decide: Callable[[Sequence[int]], Awaitable[Sequence[DeadLetter | Exception]]]
    ) -> list[DeadLetter | Exception]:
        outcomes: list[DeadLetter | Exception] = []
        last: int | None = None
        while ids := await self._waiting(last):
            outcomes += await decide(ids)
            last = ids[-1]
        return outcomes

    async def _waiting(self, after: int | None) -> list[int]:
        async with self._unit_of_work.reading() as tx:
            return [letter.id for letter in await tx.dead_letters.page(decided=False, after=after, limit=self._page)]

    async def _replay(self, by: str, ids: Sequence[int]) -> Sequence[DeadLetter | DomainError]:
        async with self._unit_of_work() as tx:
            letters = await tx.dead_letters.get_many(set(ids), lock=True)
            told = [letter.event for letter in letters.values() if letter.event is not None]
            history = set(await tx.events.of_orders({event.order_id for event in told}))
            events: list[Event] = []
            outcomes = _decide(
                letters, ids, lambda letter: events.append(letter.replay(by=by, at=self._now(), history=history))
            )
            await tx.dead_letters.save_many(_decided(outcomes))
            await tx.outbox.re_enqueue(events)
            await tx.audit.add_many([_entry(by, letter, self._now()) for letter in _decided(outcomes)])
        return outcomes

    async def _discard(self, by: str, ids: Sequence[int]) -> Sequence[DeadLetter | DomainError]:
        async with self._unit_of_work() as tx:
            letters = await tx.dead_letters.get_many(set(ids), lock=True)
            outcomes = _decide(letters, ids, lambda letter: letter.discard(by=by, at=self._now()))
            await tx.dead_letters.save_many(_decided(outcomes))
            await tx.audit.add_many([_entry(by, letter, self._now()) for letter in _decided(outcomes)])
        return outcomes


async def _each_alone(
    decide: Callable[[Sequence[int]], Awaitable[Sequence[DeadLetter | Exception]]], ids: Sequence[int]
) -> list[DeadLetter | Exception]:
    outcomes = await each_alone(decide, ids)
    for outcome in outcomes:
        if isinstance(outcome, Trouble):
            raise outcome
    return outcomes


def _decide(
    letters: Mapping[int, DeadLetter], ids: Sequence[int], decide: Callable[[DeadLetter], None]
) -> list[DeadLetter | DomainError]:
    outcomes: list[DeadLetter | DomainError] = []
    for id_ in ids:
        try:
            letter = _existing(letters.get(id_), id_)
            decide(letter)
        except DomainError as error:
            outcomes.append(error)
        else:
            outcomes.append(letter)
    return outcomes


def _decided(outcomes: Sequence[DeadLetter | DomainError]) -> list[DeadLetter]:
    return [outcome for outcome in outcomes if isinstance(outcome, DeadLetter)]


def _entry(by: str, letter: DeadLetter, at: datetime) -> AuditEntry:
    decision = None if letter.decision is None else letter.decision.value
    return AuditEntry(
        at=at,
        by=Caller(by, request_id() or ""),
        action="dead_letter.decided",
        subject=f"dead letter {letter.id}",
        before={"decision": None},
        after={"decision": decision},
        reason=letter.message.reason[:MAX_TEXT],
    )


def _existing(letter: DeadLetter | None, id_: int) -> DeadLetter:
    if letter is None:
        raise UnknownDeadLetter(f"there is no dead letter {id_}: `holdfast dead list --all` lists them")
    return letter
