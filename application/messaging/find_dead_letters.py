"""Dead letters as a person looks at them: in groups of one cause, as a list, and one by one."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.execution.counting import MOST_COUNTED
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter, UnknownDeadLetter
from domain.dead_letter_groups import CauseFilter, LetterGroup, LetterSummary, grouped

# Letters without their messages that are read at once.
_STRETCH: Final = 2000


@frozen
class Groups:
    """The groups of the letters that wait. With `more`, only the oldest 10,000 letters were looked at."""

    groups: Sequence[LetterGroup]
    more: bool


@frozen
class GroupDeadLetters:
    """Group the letters that wait for a decision by their cause, the largest group first."""

    _unit_of_work: UnitOfWork
    _most: int = MOST_COUNTED

    async def __call__(self, _: Principal) -> Groups:
        async with self._unit_of_work.reading() as tx:
            found = await tx.dead_letters.summaries(decided=False, after=None, limit=self._most + 1)
        return Groups(grouped(found[: self._most]), more=len(found) > self._most)


@frozen
class ListDeadLetters:
    """A page of the letters that wait for a decision, or with `decided` of all, oldest first; of some causes alone."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self,
        _: Principal,
        *,
        only: CauseFilter | None = None,
        decided: bool = False,
        after: int | None = None,
        limit: int,
    ) -> list[DeadLetter]:
        async with self._unit_of_work.reading() as tx:
            if only is None or only == CauseFilter():
                return await tx.dead_letters.page(decided=decided, after=after, limit=limit)
            ids: list[int] = []
            async for letter in matching(tx, only, decided=decided, after=after):
                ids.append(letter.id)
                if len(ids) == limit:
                    break
            found = await tx.dead_letters.get_many(ids)
        return [found[id_] for id_ in ids]


@frozen
class GetDeadLetter:
    """Read one. Raise `UnknownDeadLetter`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: int) -> DeadLetter:
        async with self._unit_of_work.reading() as tx:
            return existing((await tx.dead_letters.get_many({id_})).get(id_), id_)


async def matching(
    tx: Transaction, only: CauseFilter, *, decided: bool = False, after: int | None = None
) -> AsyncIterator[LetterSummary]:
    """Yield the letters with such a cause, oldest first. All that are there are looked at."""
    while letters := await tx.dead_letters.summaries(decided=decided, after=after, limit=_STRETCH):
        for letter in letters:
            if only.takes(letter.cause):
                yield letter
        after = letters[-1].id


def existing(letter: DeadLetter | None, id_: int) -> DeadLetter:
    if letter is None:
        raise UnknownDeadLetter(f"there is no dead letter {id_}: `holdfast dead list --all` lists them")
    return letter
