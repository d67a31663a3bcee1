"""Find the dead letters of an order."""

from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from application.access.principal import Principal
from application.execution.counting import MOST_COUNTED
from application.orders.find_by_id_part import IdPart
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadLetter

# Letters with their messages that are read at once.
_STRETCH: Final = 500


@frozen
class LettersFound:
    """With `more`, there are others, or some were not looked at."""

    letters: Sequence[DeadLetter]
    more: bool


@frozen
class FindLetters:
    """Find the letters that wait for a decision, oldest first, about orders whose ids have this part.

    The oldest 10,000 are looked at. A letter that can't be read is about no order.
    """

    _unit_of_work: UnitOfWork
    _most: int = field(default=MOST_COUNTED, kw_only=True)

    async def __call__(self, _by: Principal, part: IdPart, *, limit: int) -> LettersFound:
        found: list[DeadLetter] = []
        looked_at, after = 0, None
        async with self._unit_of_work.reading() as tx:
            while looked_at < self._most:
                stretch = min(_STRETCH, self._most - looked_at)
                letters = await tx.dead_letters.page(decided=False, after=after, limit=stretch)
                found += [each for each in letters if each.event is not None and part.is_of(each.event.order_id)]
                if len(found) > limit or len(letters) < stretch:
                    return LettersFound(found[:limit], more=len(found) > limit)
                looked_at, after = looked_at + stretch, letters[-1].id
        return LettersFound(found, more=True)
