import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar, cast

from attrs import define, field

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable

C = TypeVar("C")
R = TypeVar("R")

# What a batch costs by itself outweighs a few calls: so few are not shared out, and so few begin none beside another.
_WORTH_SHARING: Final = 16
_WORTH_A_PLACE: Final = 4
# Seconds that anybody waits for a batch to end, or for others to come, while there is a place.
_MAX_WAIT: Final = 0.05


async def each_alone(
    work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]], calls: Sequence[C]
) -> list[R | Exception]:
    """Do the calls as one batch; if the batch fails, one by one, so that a bad neighbour costs nobody.

    A batch that was rolled back as a whole is tried once more first. One whose server is gone is not tried again; nor
    is one whose outcome is unknown, which a second try could do twice.
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
        except Exception as error:  # noqa: BLE001 - whatever a neighbour caused
            failure = error
            break
    if len(calls) == 1:
        return [failure]
    return [outcome for call in calls for outcome in await each_alone(work, [call])]


@define
class _Waiting(Generic[C, R]):
    call: C
    answer: asyncio.Future[R]
    since: float


@define(eq=False)
class Batched(Generic[C, R]):
    """Calls that arrive while a batch is being worked on become the next batch.

    An idle service answers the first call at once, and a busy one makes larger batches by itself, as many as may be in
    flight sharing the calls. Where one is in flight, another begins beside it when some calls wait, when one has waited
    for 50 ms, or when that one is known to take longer; and the only one that may be in flight begins when nobody else
    comes, or after as long.

    The work runs in a task of its own, so that a caller who goes away cancels its wait and nothing else; when its batch
    has not begun yet, nothing is done for it at all.

    Raise what the use case returned or raised for this call. Raise `Overloaded` at once while somebody has been waiting
    for longer than `longest_wait` seconds: whoever came now would wait no less.
    """

    _work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]
    _max_size: int = field(default=256, kw_only=True)
    _max_in_flight: int = field(default=2, kw_only=True)
    _longest_wait: float = field(default=1.0, kw_only=True)
    _waiting: deque[_Waiting[C, R]] = field(factory=deque, init=False)
    _in_flight: set[asyncio.Task[None]] = field(factory=set, init=False)
    # Those of them that have their calls by now, and when each began: the oldest first.
    _at_work: dict[asyncio.Task[None], float] = field(factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    async def __call__(self, call: C) -> R:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if (waited := self._waited(now)) > self._longest_wait:
            raise Overloaded(f"{len(self._waiting)} calls are waiting already, one of them for {waited:.1f} s")
        waiting: _Waiting[C, R] = _Waiting(call, loop.create_future(), now)
        self._waiting.append(waiting)
        self._start()
        return await waiting.answer

    async def drained(self) -> None:
        """Wait until every call that was made has its answer."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _waited(self, now: float) -> float:
        """How long the first of those who still wait has done so."""
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
            # One turn of the loop is given away first, so that calls made in the same turn share the batch.
            await asyncio.sleep(0)
            while batch := await self._next_batch():
                self._at_work[this] = asyncio.get_running_loop().time()
                self._start()
                await self._work_on(batch)
                del self._at_work[this]
        finally:
            # In the same turn in which nobody was found waiting: whoever comes next must find this place free.
            self._at_work.pop(this, None)
            self._in_flight.remove(this)

    async def _work_on(self, batch: Sequence[_Waiting[C, R]]) -> None:
        try:
            self._answer(batch, await each_alone(self._work, [waiting.call for waiting in batch]))
        except BaseException:
            # The process is ending: nobody is left waiting for what will not come.
            for waiting in batch:
                waiting.answer.cancel()
            raise

    async def _next_batch(self) -> list[_Waiting[C, R]]:
        if self._max_in_flight == 1:
            await self._until_nobody_comes()
        # Shared out among the places that are free: while one is with the database, the process prepares the next.
        shares = min(self._max_in_flight - len(self._at_work), max(1, len(self._waiting) // _WORTH_SHARING))
        size = min(self._max_size, -(-len(self._waiting) // shares))
        batch: list[_Waiting[C, R]] = []
        while self._waiting and len(batch) < size:
            waiting = self._waiting.popleft()
            # To work for those who have gone would keep the others waiting, just when there is too much to do.
            if not waiting.answer.cancelled():
                batch.append(waiting)
        return batch

    async def _until_nobody_comes(self) -> None:
        # Whoever misses the only batch waits for the whole of it.
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
