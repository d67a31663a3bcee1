import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar, cast

from attrs import define, field

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.working_for import WorkingFor, request_ids
from application.ports.telemetry import Record, record_nothing

C = TypeVar("C")
R = TypeVar("R")

# A batch has a fixed cost. So calls are split only into batches of at least `_WORTH_SHARING`, and a batch begins beside
# another only when at least `_WORTH_A_PLACE` calls wait.
_WORTH_SHARING: Final = 16
_WORTH_A_PLACE: Final = 4
# Seconds that a call waits, while a batch could begin, for another batch to end or for more calls to arrive.
_MAX_WAIT: Final = 0.05


async def each_alone(
    work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]], calls: Sequence[C]
) -> list[R | Exception]:
    """Do the calls as one batch. If the batch fails, do them one by one, so that a bad call fails alone.

    A batch that was rolled back as a whole is first tried once more. A batch is not tried again if its server is
    unavailable, or if its outcome is unknown: its effect could then happen twice. Once a call done alone finds its
    server unavailable, the calls after it are not tried, and have the same outcome.
    """
    for _ in range(2):
        try:
            outcomes = list(await work(calls))
            if len(outcomes) != len(calls):
                raise RuntimeError(f"{len(calls)} calls were given {len(outcomes)} outcomes")  # noqa: TRY301
            return outcomes  # noqa: TRY300
        except (Unavailable, Overloaded, OutcomeUnknown) as error:
            return [error] * len(calls)
        except Aborted as error:
            failure: Exception = error
        except Exception as error:  # noqa: BLE001 - any call of the batch may have caused it
            failure = error
            break
    if len(calls) == 1:
        return [failure]
    outcomes = []
    for call in calls:
        outcomes += await each_alone(work, [call])
        if isinstance(outcomes[-1], Unavailable):
            break
    return outcomes + outcomes[-1:] * (len(calls) - len(outcomes))


@define
class _Waiting(Generic[C, R]):
    call: C
    answer: asyncio.Future[R]
    since: float
    request_ids: tuple[str, ...]


@define(eq=False)
class Batched(Generic[C, R]):
    """Calls that arrive while a batch is in flight become the next batch.

    An idle service does the first call at once, and a busy service makes larger batches by itself. The waiting calls
    are split among as many batches as may be in flight. While one batch is in flight, another begins when a few calls
    wait, when one call has waited for 50 ms, or when the first batch takes longer than 50 ms. If only one batch may be
    in flight, it begins when no more calls arrive, or after 50 ms.

    The work runs in a task of its own, so that a cancelled caller ends its own wait and nothing else. If its batch has
    not begun yet, its call is skipped.

    Raise the error that the use case returned or raised for this call. Raise `Overloaded` at once while another call
    has been waiting for longer than `longest_wait` seconds: a new call would wait as long.
    """

    _work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]
    _max_size: int = field(default=256, kw_only=True)
    _max_in_flight: int = field(default=2, kw_only=True)
    _longest_wait: float = field(default=1.0, kw_only=True)
    # Told of each batch that begins: its size, and for how many seconds its first call has waited.
    _note_size: Record = field(default=record_nothing, kw_only=True)
    _note_wait: Record = field(default=record_nothing, kw_only=True)
    _waiting: deque[_Waiting[C, R]] = field(factory=deque, init=False)
    _in_flight: set[asyncio.Task[None]] = field(factory=set, init=False)
    # The tasks that are working on a batch, and when each batch began, oldest first.
    _at_work: dict[asyncio.Task[None], float] = field(factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    async def __call__(self, call: C) -> R:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if (waited := self._waited(now)) > self._longest_wait:
            raise Overloaded(f"{len(self._waiting)} calls are waiting already, one of them for {waited:.1f} s")
        waiting: _Waiting[C, R] = _Waiting(call, loop.create_future(), now, request_ids())
        self._waiting.append(waiting)
        self._start()
        return await waiting.answer

    @property
    def is_busy(self) -> bool:
        return bool(self._in_flight)

    async def drained(self) -> None:
        """Wait until every call that was made has its outcome."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _waited(self, now: float) -> float:
        """Return the seconds for which the oldest waiting call has been waiting."""
        while self._waiting and self._waiting[0].answer.cancelled():
            self._waiting.popleft()
        return now - self._waiting[0].since if self._waiting else 0.0

    def _start(self) -> None:
        if not self._waiting or len(self._in_flight) >= self._max_in_flight:
            return
        if not self._in_flight or len(self._waiting) >= min(_WORTH_A_PLACE, self._max_size) or self._is_one_slow():
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_MAX_WAIT, self._begin_anyway)

    def _begin(self) -> None:
        self._in_flight.add(asyncio.get_running_loop().create_task(self._work_off()))

    def _is_one_slow(self) -> bool:
        now = asyncio.get_running_loop().time()
        return now - next(iter(self._at_work.values()), now) >= _MAX_WAIT

    def _begin_anyway(self) -> None:
        self._timer = None
        if self._waiting and len(self._in_flight) < self._max_in_flight:
            self._begin()

    async def _work_off(self) -> None:
        this = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            # Yield to the event loop once, so that calls made in the same iteration share the batch.
            await asyncio.sleep(0)
            while batch := await self._next_batch():
                self._at_work[this] = now = asyncio.get_running_loop().time()
                self._note_size(len(batch))
                self._note_wait(now - batch[0].since)
                self._start()
                await self._work_on(batch)
                del self._at_work[this]
        finally:
            # No await since the queue was found empty: the next call must find this place free.
            self._at_work.pop(this, None)
            self._in_flight.remove(this)

    async def _work_on(self, batch: Sequence[_Waiting[C, R]]) -> None:
        try:
            # The task inherited the request of the call that started it, and works for many.
            with WorkingFor(id_ for waiting in batch for id_ in waiting.request_ids):
                outcomes = await each_alone(self._work, [waiting.call for waiting in batch])
            self._answer(batch, outcomes)
        except BaseException:
            # The process is ending, and this batch gets no outcome. Its callers must not wait for ever.
            for waiting in batch:
                waiting.answer.cancel()
            raise

    async def _next_batch(self) -> list[_Waiting[C, R]]:
        if self._max_in_flight == 1:
            await self._until_no_more_calls_arrive()
        # The waiting calls are split among the batches that may begin: while the database works on one batch, the
        # process prepares the next.
        shares = min(self._max_in_flight - len(self._at_work), max(1, len(self._waiting) // _WORTH_SHARING))
        size = min(self._max_size, -(-len(self._waiting) // shares))
        batch: list[_Waiting[C, R]] = []
        while self._waiting and len(batch) < size:
            waiting = self._waiting.popleft()
            # A call whose caller was cancelled would delay the others, just when the load is highest.
            if not waiting.answer.cancelled():
                batch.append(waiting)
        return batch

    async def _until_no_more_calls_arrive(self) -> None:
        # A call that misses the batch must wait until the whole batch has ended.
        now, here = asyncio.get_running_loop().time, 0
        while here < len(self._waiting) < self._max_size and self._waited(now()) < _MAX_WAIT:
            here = len(self._waiting)
            await asyncio.sleep(0)

    def _answer(self, batch: Sequence[_Waiting[C, R]], outcomes: Sequence[R | Exception]) -> None:
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.cancelled():
                continue
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
