import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES
from application.errors import Trouble
from application.execution.working_for import WorkingFor
from application.jobs.files import whole_file
from application.jobs.kinds import Progress, hold
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.operations.act_on_orders import ActOnOrders, came_of_retries
from application.operations.bulk import (
    CHOSEN,
    ITEMS,
    ON_ORDERS,
    Act,
    BulkRequest,
    BulkState,
    ChosenOrders,
    UnknownBulkOperation,
)
from application.operations.replayed import came_of_replays
from application.operations.results import AWAITED, DONE, FAILED, OPEN, SKIPPED, ItemResult, in_words, noted
from application.ports.audit import Caller
from application.ports.environment import Elapsed
from application.ports.files import StoredFile
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter, UnknownDeadLetter
from domain.errors import DomainError, IllegalTransition
from domain.jobs.job import Job

# How many messages are replayed, or payments asked for, before their outcomes are awaited. The last size repeats.
WAVES: Final = (1, 10, 100)
# A replay stops when so many messages could not be replayed, and none could.
_HOPELESS: Final = 10
# Items that are decided about in one transaction.
_BATCH: Final = 100
# Seconds for which the outcome of a wave is awaited: longer than a message takes to fail eight times.
_PATIENCE: Final = 120.0
# Seconds between two looks: at first, since a worker is quick, and at last.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
_NOTHING: Final[Mapping[Act, str]] = MappingProxyType(
    {"replay": "nothing came of a replay", "retry": "nothing came of a payment"}
)


@frozen
class RunBulk:
    """The job that replays or discards dead letters, and cancels orders or retries their payment.

    The file of the job records each decision in the transaction that makes it. So a new attempt continues after the
    last decision. Each transaction holds the job, so that nothing is decided after the operation was stopped, and of
    two attempts at once only one can write: no item is decided about twice, or reported twice.

    A replay begins with few messages, waits for their outcomes, and goes on with more. It stops when a message fails
    again with its earlier error or has no outcome for two minutes, when all messages of a wave fail, and when the first
    ten can't be replayed at all. Payments are asked for again in the same way, since the provider may just have come
    back. That stops when one has no outcome for two minutes. A payment that is declined says nothing of the others.
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
            return await self._settle(job, wanted, file, state, since=chosen[-1])
        ids = _next(wanted, state, chosen)
        if not ids:
            return await self._note(job, file, [], evolve(state, whole=True))
        if state.stopped:
            skipped = [ItemResult(id_, SKIPPED, state.stopped) for id_ in ids]
            return await self._note(job, file, skipped, evolve(state, taken=state.taken + len(ids)))
        while True:
            try:
                return await self._act(job, wanted, file, state, ids)
            except Trouble:
                raise
            except Exception as error:  # noqa: BLE001 - any item may have caused it
                # One that can't be read or written keeps no other from being done: it is found by halves.
                if len(ids) == 1:
                    refused = [ItemResult(ids[0], FAILED, in_words(error))]
                    taken = evolve(state, taken=state.taken + 1)
                    return await self._note(job, file, refused, _after(wanted, taken, refused))
            ids = ids[: len(ids) // 2]

    async def _act(
        self, job: Job, wanted: BulkRequest, file: StoredFile, state: BulkState, ids: Sequence[Any]
    ) -> StoredFile:
        if wanted.act in ON_ORDERS:
            return await self._act_on(job, wanted, file, state, ids)
        async with self._unit_of_work() as tx:
            await hold(tx, job)
            return await self._decide(tx, job, wanted, file, evolve(state, taken=state.taken + len(ids)), ids)

    async def _act_on(
        self, job: Job, wanted: BulkRequest, file: StoredFile, state: BulkState, ids: Sequence[str]
    ) -> StoredFile:
        # Orders that a filter finds are recorded. One that is named may be accepted and not recorded yet.
        is_named = isinstance(wanted.only, ChosenOrders) and wanted.only.ids
        promised = await self._act_on_orders.promised(ids, all_recorded=not is_named)
        by, most = Caller(**job.arguments["by"]), _wave(state)
        async with self._unit_of_work() as tx:
            await hold(tx, job)
            told = await self._act_on_orders(tx, wanted.act, by, ids, promised=promised, most=most)
            taken = evolve(state, taken=state.taken + len(told))
            if wanted.act != "retry":
                return await noted(tx, file, told, taken)
            asked = [each.id for each in told if each.outcome == DONE]
            others = [each for each in told if each.outcome != DONE]
            return await noted(tx, file, others, evolve(taken, wave=taken.wave + bool(asked), in_flight=asked))

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

    async def _settle(
        self, job: Job, wanted: BulkRequest, file: StoredFile, state: BulkState, *, since: Any
    ) -> StoredFile:
        """Wait for the outcomes of what was replayed or asked for. What failed again is a dead letter after `since`."""
        until, pause, ids = self._elapsed() + self._patience, _FIRST_PAUSE, state.in_flight
        while True:
            async with self._unit_of_work.reading() as tx:
                if wanted.act == "retry":
                    came = await came_of_retries(tx, [str(id_) for id_ in ids])
                else:
                    came = await came_of_replays(tx, [int(id_) for id_ in ids], since=since)
            if len(came.results) == len(ids) or self._elapsed() >= until:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        why = f"{AWAITED[wanted.act]}, and nothing came of it within {self._patience:g} s"
        results = [came.results.get(id_) or ItemResult(id_, OPEN, why) for id_ in ids]
        stopped = came.stopped
        if not stopped and wanted.act == "replay" and all(result.outcome == FAILED for result in results):
            stopped = f"all {len(results)} of a wave failed: {results[0].reason}"
        if not stopped and any(result.outcome == OPEN for result in results):
            stopped = f"{_NOTHING[wanted.act]} for {self._patience:g} s: is a worker at work, and the provider there?"
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
    most = _wave(state) if wanted.act == "replay" and not state.stopped else _BATCH
    return chosen[state.taken : state.taken + most]


def _wave(state: BulkState) -> int:
    return WAVES[min(state.wave, len(WAVES) - 1)]


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
