from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.errors import Trouble
from application.execution.batching import each_alone
from application.messaging.find_dead_letters import existing
from application.ports.audit import MAX_TEXT, AuditEntry
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter, InvalidDecision
from domain.errors import DomainError
from domain.orders.events import Event

Outcome = DeadLetter | DomainError


@frozen
class ReplayDeadLetters:
    """Re-enqueue the events of dead letters in the transaction that marks them. A repetition changes nothing.

    A letter that is decided already, can't be read or can't be written is refused alone. So is a message that was never
    an event of this shop: replayed, it would leave here as one. Raise `Trouble` if the database is gone.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def edited(self, by: Principal, id_: int, instead: Event, *, reason: str = "") -> DeadLetter:
        """Replay an edited copy of one message. Raise `DomainError` if it is refused."""
        async with self._unit_of_work() as tx:
            [outcome] = await self.within(tx, by, [id_], reason=reason, instead=instead)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def __call__(
        self, by: Principal, ids: Sequence[int], *, reason: str = ""
    ) -> Sequence[DeadLetter | Exception]:
        async def replay(some: Sequence[int]) -> Sequence[Outcome]:
            async with self._unit_of_work() as tx:
                return await self.within(tx, by, some, reason=reason)

        return _told(await each_alone(replay, ids))

    async def within(
        self, tx: Transaction, by: Principal, ids: Sequence[int], *, reason: str, instead: Event | None = None
    ) -> list[Outcome]:
        """Do it in this transaction."""
        letters = await tx.dead_letters.get_many(set(ids), lock=True)
        told = [event for letter in letters.values() if (event := instead or letter.event) is not None]
        history = set(await tx.events.of_orders({event.order_id for event in told}))
        events: list[Event] = []

        def replay(letter: DeadLetter) -> None:
            events.append(letter.replay(by=by.key_id, at=self._now(), history=history, instead=instead))

        edited = {} if instead is None else {"edited": f"{instead.type} of order {instead.order_id}"}
        outcomes = await _decided(tx, by, letters, ids, replay, at=self._now(), reason=reason, more=edited)
        await tx.outbox.re_enqueue(events)
        return outcomes


@frozen
class DiscardDeadLetters:
    """Discard dead letters, and record who did so, and why. One that is decided already is refused alone.

    Raise `Trouble` if the database is gone.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(
        self, by: Principal, ids: Sequence[int], *, reason: str = ""
    ) -> Sequence[DeadLetter | Exception]:
        async def discard(some: Sequence[int]) -> Sequence[Outcome]:
            async with self._unit_of_work() as tx:
                return await self.within(tx, by, some, reason=reason)

        return _told(await each_alone(discard, ids))

    async def within(self, tx: Transaction, by: Principal, ids: Sequence[int], *, reason: str) -> list[Outcome]:
        """Do it in this transaction."""
        letters = await tx.dead_letters.get_many(set(ids), lock=True)
        discard = partial(DeadLetter.discard, by=by.key_id, at=self._now())
        return await _decided(tx, by, letters, ids, discard, at=self._now(), reason=reason)


def _told(outcomes: Sequence[DeadLetter | Exception]) -> Sequence[DeadLetter | Exception]:
    for outcome in outcomes:
        if isinstance(outcome, Trouble):
            raise outcome
    return outcomes


async def _decided(  # noqa: PLR0913 - the parts of one decision
    tx: Transaction,
    by: Principal,
    letters: Mapping[int, DeadLetter],
    ids: Sequence[int],
    decide: Callable[[DeadLetter], None],
    *,
    at: datetime,
    reason: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> list[Outcome]:
    """Decide about each, and save and audit what was decided."""
    outcomes: list[Outcome] = []
    for id_ in ids:
        try:
            if len(reason) > MAX_TEXT:
                raise InvalidDecision(f"a reason has at most {MAX_TEXT} characters")
            letter = existing(letters.get(id_), id_)
            decide(letter)
        except DomainError as error:
            outcomes.append(error)
        else:
            outcomes.append(letter)
    decided = [outcome for outcome in outcomes if isinstance(outcome, DeadLetter)]
    await tx.dead_letters.save_many(decided)
    await tx.audit.add_many([_entry(by, letter, at, reason, more) for letter in decided])
    return outcomes


def _entry(by: Principal, letter: DeadLetter, at: datetime, reason: str, more: Mapping[str, str]) -> AuditEntry:
    return AuditEntry(
        at=at,
        by=caller_of(by),
        action="dead_letter.decided",
        subject=f"dead letter {letter.id}",
        before={"decision": None, "error": letter.message.reason[:MAX_TEXT]},
        after={"decision": None if letter.decision is None else letter.decision.value, **more},
        reason=reason,
    )
