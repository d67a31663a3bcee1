from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from application.errors import Trouble
from application.execution.batching import each_alone
from application.ports.environment import Clock
from application.ports.messaging import DeadDelivery, DeadLetterQueue
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadMessage

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
