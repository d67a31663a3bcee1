from collections.abc import Collection, Sequence

from attrs import evolve, frozen

from adapters.codecs.events import decode_if_readable
from adapters.memory.overlay import Overlay
from domain.dead_letter import DeadLetter, DeadMessage, Decision
from domain.dead_letter_groups import CAUSE_IN, LetterSummary


@frozen
class MemoryDeadLetters:
    _letters: Overlay[int, DeadLetter]

    async def record(self, consumer: str, messages: Sequence[DeadMessage]) -> None:
        for message in messages:
            waiting = self._waiting(consumer, message)
            if waiting is None:
                id_ = max(self._letters, default=0) + 1
                self._letters[id_] = DeadLetter(
                    id=id_, consumer=consumer, message=message, event=decode_if_readable(message.body)
                )
            elif waiting.message.last_at < message.last_at:
                attempts = waiting.message.attempts + message.attempts
                again = evolve(message, attempts=attempts, first_at=waiting.message.first_at)
                self._letters[waiting.id] = evolve(waiting, message=again)

    async def get_many(
        self,
        ids: Collection[int],
        *,
        lock: bool = False,  # noqa: ARG002 - the only writer has locked everything
    ) -> dict[int, DeadLetter]:
        return {id_: evolve(self._letters[id_]) for id_ in sorted(ids) if id_ in self._letters}

    async def save_many(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            self._letters[letter.id] = evolve(letter)

    async def page(self, *, decided: bool, after: int | None, limit: int) -> list[DeadLetter]:
        found = [
            evolve(letter)
            for id_, letter in sorted(self._letters.items())
            if (after is None or id_ > after) and (decided or letter.decision is None)
        ]
        return found[:limit]

    async def summaries(self, *, decided: bool, after: int | None, limit: int) -> list[LetterSummary]:
        return [
            LetterSummary(
                id=letter.id,
                consumer=letter.consumer,
                reason=letter.message.reason[:CAUSE_IN],
                first_at=letter.message.first_at,
                last_at=letter.message.last_at,
                failed_again=letter.decision is None and self._was_replayed(letter),
            )
            for letter in await self.page(decided=decided, after=after, limit=limit)
        ]

    def _was_replayed(self, letter: DeadLetter) -> bool:
        return any(
            other.consumer == letter.consumer
            and other.decision is Decision.REPLAYED
            and other.message.body == letter.message.body
            for other in self._letters.values()
        )

    def _waiting(self, consumer: str, message: DeadMessage) -> DeadLetter | None:
        for letter in self._letters.values():
            same = letter.consumer == consumer and letter.message.body == message.body
            if same and letter.decision is None:
                return letter
        return None
