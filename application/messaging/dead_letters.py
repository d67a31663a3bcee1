from collections.abc import Awaitable, Callable, Mapping, Sequence

from attrs import field, frozen

from application.ports.environment import Clock
from application.ports.messaging import DeadDelivery, DeadLetterQueue
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadLetter, UnknownDeadLetter
from domain.errors import DomainError
from domain.orders.events import Event


@frozen
class RecordDeadLetters:
    """Move a consumer's dead letters from their queue into the table, where a person finds them."""

    _consumer: str
    _queue: DeadLetterQueue
    _unit_of_work: UnitOfWork
    _limit: int = field(default=100, kw_only=True)

    async def receive(self) -> Sequence[DeadDelivery]:
        """Wait for dead messages. Cancelling this call loses none. Raise `Trouble` when the broker is gone."""
        return await self._queue.receive(self._limit)

    async def record(self, deliveries: Sequence[DeadDelivery]) -> None:
        """Raise `Trouble`: the broker then delivers them again."""
        async with self._unit_of_work() as tx:
            await tx.dead_letters.record(self._consumer, [delivery.message for delivery in deliveries])
        # A crash before this line is safe: a message that is delivered again becomes the same dead letter.
        await self._queue.ack(deliveries)


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

    A letter that is decided already, or can't be read, is refused alone.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _page: int = field(default=200, kw_only=True)

    async def replay(self, ids: Sequence[int], *, by: str) -> Sequence[DeadLetter | DomainError]:
        """Re-enqueue their events in the transaction that marks them. What was done before is not done again.

        A message that was never an event of this shop is refused: replayed, it would leave here as one.
        """
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
        return outcomes

    async def discard(self, ids: Sequence[int], *, by: str) -> Sequence[DeadLetter | DomainError]:
        async with self._unit_of_work() as tx:
            letters = await tx.dead_letters.get_many(set(ids), lock=True)
            outcomes = _decide(letters, ids, lambda letter: letter.discard(by=by, at=self._now()))
            await tx.dead_letters.save_many(_decided(outcomes))
        return outcomes

    async def replay_all(self, *, by: str) -> Sequence[DeadLetter | DomainError]:
        """All that wait for a decision."""
        return await self._each_page(lambda ids: self.replay(ids, by=by))

    async def discard_all(self, *, by: str) -> Sequence[DeadLetter | DomainError]:
        """All that wait for a decision."""
        return await self._each_page(lambda ids: self.discard(ids, by=by))

    async def _each_page(
        self, decide: Callable[[Sequence[int]], Awaitable[Sequence[DeadLetter | DomainError]]]
    ) -> list[DeadLetter | DomainError]:
        outcomes: list[DeadLetter | DomainError] = []
        last: int | None = None
        while ids := await self._waiting(last):
            outcomes += await decide(ids)
            last = ids[-1]
        return outcomes

    async def _waiting(self, after: int | None) -> list[int]:
        async with self._unit_of_work.reading() as tx:
            return [letter.id for letter in await tx.dead_letters.page(decided=False, after=after, limit=self._page)]


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


def _existing(letter: DeadLetter | None, id_: int) -> DeadLetter:
    if letter is None:
        raise UnknownDeadLetter(f"there is no dead letter {id_}: `holdfast dead list --all` lists them")
    return letter
