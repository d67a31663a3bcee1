import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES
from application.errors import Trouble
from application.execution.working_for import WorkingFor
from application.jobs.files import whole_file
from application.jobs.kinds import Progress, hold
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.operations.act_on_orders import ActOnOrders
from application.operations.bulk import CHOSEN, ITEMS, ON_ORDERS, BulkRequest, BulkState, UnknownBulkOperation
from application.operations.replayed import came_of
from application.operations.results import DONE, FAILED, OPEN, SKIPPED, ItemResult, in_words, noted
from application.ports.audit import Caller
from application.ports.environment import Elapsed
from application.ports.files import StoredFile
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter, UnknownDeadLetter
from domain.dead_letter_groups import Cause, cause_in
from domain.errors import DomainError, IllegalTransition
from domain.jobs.job import Job

# How many messages are replayed before their outcomes are awaited. The last size repeats.
WAVES: Final = (1, 10, 100)
# After so many that can't be replayed, and none that could, nothing says that the others can be.
_HOPELESS: Final = 10
# Items that are only marked in one transaction.
_BATCH: Final = 100
# Seconds for which the outcome of a wave is awaited: longer than a message takes to fail eight times.
_PATIENCE: Final = 120.0
# Seconds between two looks: at first, since a worker is quick, and at last.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0


@frozen
class RunBulk:
    """The job that replays or discards dead letters, and cancels orders or retries their payment.

    The file of the job records each decision in the transaction that makes it. So a new attempt continues after the
    last decision. Each transaction holds the job, so that nothing is decided after the operation was stopped, and of
    two attempts at once only one can write: no item is decided about twice, or reported twice.

    A replay begins with few messages, waits for their outcomes, and goes on with more. It stops when a message fails
    again with its earlier error or has no outcome for two minutes, when all messages of a wave fail, and when the first
    ten can't be replayed at all.
    """

    _unit_of_work: UnitOfWork
    _replay: ReplayDeadLetters
    _discard: DiscardDeadLetters
    _act_on_orders: ActOnOrders
    _elapsed: Elapsed
    _patience: float = field(default=_PATIENCE, kw_only=True)

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any]:
        wanted, request_id = BulkRequest.of(job.arguments), job.arguments["by"]["request_id"]
        async with self._unit_of_work.reading() as tx:
            file, chosen = await tx.files.get(job.id, ITEMS), await _chosen(tx, job)
        file = file or StoredFile(job_id=job.id, name=ITEMS, state=BulkState().as_json())
        progress.total = job.arguments["count"]
        with WorkingFor([request_id] if request_id else []):
            while not (state := BulkState.of(file.state)).whole:
                progress.done = state.told
                file = await self._step(job, wanted, file, state, chosen)
        progress.done = state.told
        return {"outcomes": dict(state.outcomes), "stopped": state.stopped}

    async def _step(
        self, job: Job, wanted: BulkRequest, file: StoredFile, state: BulkState, chosen: Sequence[Any]
    ) -> StoredFile:
        if state.in_flight:
            return await self._settle(job, file, state, since=chosen[-1])
        ids = _next(wanted, state, chosen)
        if not ids:
            return await self._note(job, file, [], evolve(state, whole=True))
        if state.stopped:
            skipped = [ItemResult(id_, SKIPPED, state.stopped) for id_ in ids]
            return await self._note(job, file, skipped, evolve(state, taken=state.taken + len(ids)))
        try:
            return await self._act(job, wanted, file, state, ids)
        except Trouble:
            raise
        except Exception:  # noqa: BLE001 - any item may have caused it
            # An item that can't be written must not block the others.
            return await self._act_alone(job, wanted, file, state, ids[0])

    async def _act_alone(
        self, job: Job, wanted: BulkRequest, file: StoredFile, state: BulkState, id_: Any
    ) -> StoredFile:
        try:
            return await self._act(job, wanted, file, state, [id_])
        except Trouble:
            raise
        except Exception as error:  # noqa: BLE001 - any error becomes the result of the item
            refused = [ItemResult(id_, FAILED, in_words(error))]
            return await self._note(job, file, refused, _after(wanted, evolve(state, taken=state.taken + 1), refused))

    async def _act(
        self, job: Job, wanted: BulkRequest, file: StoredFile, state: BulkState, ids: Sequence[Any]
    ) -> StoredFile:
        taken = evolve(state, taken=state.taken + len(ids))
        async with self._unit_of_work() as tx:
            await hold(tx, job)
            if wanted.act in ON_ORDERS:
                told = await self._act_on_orders(tx, wanted.act, Caller(**job.arguments["by"]), ids)
                return await noted(tx, file, told, taken)
            return await self._decide(tx, job, wanted, file, taken, ids)

    async def _decide(  # noqa: PLR0913, PLR0917 - what is decided, and where it is noted
        self, tx: Transaction, job: Job, wanted: BulkRequest, file: StoredFile, taken: BulkState, ids: Sequence[int]
    ) -> StoredFile:
        by = Principal(job.arguments["by"]["key_id"], scopes=ALL_SCOPES)
        decide: Callable[..., Awaitable[Sequence[DeadLetter | DomainError]]] = (
            self._replay.within if wanted.act == "replay" else self._discard.within
        )
        outcomes = await decide(tx, by, ids, reason=wanted.reason)
        refused = [_refused(id_, each) for id_, each in zip(ids, outcomes, strict=True) if isinstance(each, Exception)]
        decided = [each.id for each in outcomes if isinstance(each, DeadLetter)]
        # Messages that somebody else has decided about prove nothing.
        after = _after(wanted, evolve(taken, wave=taken.wave + bool(decided)), refused)
        if wanted.act == "replay":
            return await noted(tx, file, refused, evolve(after, in_flight=decided))
        return await noted(tx, file, [*refused, *(ItemResult(id_, DONE) for id_ in decided)], after)

    async def _settle(self, job: Job, file: StoredFile, state: BulkState, *, since: int) -> StoredFile:
        """Wait for what comes of the messages that were replayed. What fails again is a letter after `since`."""
        until, pause = self._elapsed() + self._patience, _FIRST_PAUSE
        while True:
            async with self._unit_of_work.reading() as tx:
                known = await came_of(tx, state.in_flight, since=since)
                letters = await tx.dead_letters.get_many(state.in_flight)
            if len(known) == len(state.in_flight) or self._elapsed() >= until:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        results = [_result(id_, known, self._patience) for id_ in state.in_flight]
        repeated = sorted(
            cause
            for id_, cause in known.items()
            if cause is not None and (cause.queue, cause.error) == _failure(letters[id_])
        )
        stopped = f"the same failure came again: {repeated[0].error}" if repeated else ""
        if not stopped and all(result.outcome == FAILED for result in results):
            stopped = f"all {len(results)} of a wave failed: {results[0].reason}"
        if not stopped and any(result.outcome == OPEN for result in results):
            stopped = f"nothing came of a replay for {self._patience:g} s: is a worker at work, and the provider there?"
        return await self._note(job, file, results, evolve(state, in_flight=(), stopped=stopped))

    async def _note(self, job: Job, file: StoredFile, results: Sequence[ItemResult], state: BulkState) -> StoredFile:
        async with self._unit_of_work() as tx:
            await hold(tx, job)
            return await noted(tx, file, results, state)


async def _chosen(tx: Transaction, job: Job) -> list[Any]:
    content = await whole_file(tx, job.id, CHOSEN)
    if not content:
        raise UnknownBulkOperation("the list of its items was removed")
    ids: list[Any] = json.loads(content)
    return ids


def _next(wanted: BulkRequest, state: BulkState, chosen: Sequence[Any]) -> Sequence[Any]:
    most = WAVES[min(state.wave, len(WAVES) - 1)] if wanted.act == "replay" and not state.stopped else _BATCH
    return chosen[state.taken : state.taken + most]


def _after(wanted: BulkRequest, state: BulkState, refused: Sequence[ItemResult]) -> BulkState:
    """Stop a replay of which nothing has come but refusals."""
    failed = [each for each in refused if each.outcome == FAILED]
    is_hopeless = state.outcomes.get(FAILED, 0) + len(failed) >= _HOPELESS and not state.outcomes.get(DONE, 0)
    if wanted.act != "replay" or not failed or not is_hopeless:
        return state
    return evolve(state, stopped=f"none could be replayed: {failed[-1].reason}")


def _refused(id_: int, error: Exception) -> ItemResult:
    # Somebody else was quicker. Nothing is wrong with that.
    is_decided = isinstance(error, IllegalTransition | UnknownDeadLetter)
    return ItemResult(id_, SKIPPED if is_decided else FAILED, in_words(error))


def _result(id_: int, known: Mapping[int, Cause | None], patience: float) -> ItemResult:
    if id_ not in known:
        return ItemResult(id_, OPEN, f"it was replayed, and nothing came of it within {patience:g} s")
    cause = known[id_]
    if cause is None:
        return ItemResult(id_, DONE)
    return ItemResult(id_, FAILED, f"it failed again: {cause.error}{f' in {cause.place}' if cause.place else ''}")


def _failure(letter: DeadLetter) -> tuple[str, str]:
    cause = cause_in(letter.consumer, letter.message.reason)
    return cause.queue, cause.error
