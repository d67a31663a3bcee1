import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import inf
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from attrs import define, field

from application.errors import OutcomeUnknown
from application.execution.batching import Batched, each_alone
from application.execution.concurrency import end, until_unavailable
from application.execution.outcomes import MaybeLate, WorkOutcome
from application.execution.working_for import WorkingFor
from domain.errors import UnknownOrder
from domain.ids import OrderId, PaymentId
from domain.orders.order import Order

A = TypeVar("A")

# Seconds for which the answers of a batch are awaited together, so that those of a fast provider are recorded in one
# transaction. After that each answer is recorded when it comes.
_TOGETHER: Final = 0.025
# For work that a person or a timer asks for.
_OF_NO_REQUEST: Final[Mapping[OrderId, str]] = MappingProxyType({})


class Answered(NamedTuple, Generic[A]):
    """What the provider has answered about an order, and the id of the request that the work is done for."""

    order: Order
    answer: A
    request_id: str | None = None


class ProviderWork(Protocol[A]):
    """Work that asks the provider about orders. It may stop at any point: each step finds what was done.

    `request_ids` are those of the requests that the work is done for, as far as they are known, for its events.
    """

    async def due(
        self, ids: Collection[OrderId], request_ids: Mapping[OrderId, str], /
    ) -> Mapping[OrderId, Order | UnknownOrder]:
        """Return the orders that the provider is to be asked about now, prepared for it. Others are left out."""

    async def ask(self, order: Order) -> A:
        """Ask the provider, outside of any transaction. Raise `Trouble` when there was no answer: then ask again."""

    async def record(self, answered: Sequence[Answered[A]]) -> Sequence[None]:
        """Record answers in one transaction. One that is not due any more changes nothing."""


@define(eq=False)
class ProviderPipeline(Generic[A]):
    """Prepares orders in batches, asks the provider about each, and records the answers as they come.

    The outcome for an order is None when nothing is left to do, or an error. Where the provider is slow it is a future
    of that outcome, so that no order waits for the answer to another.

    The provider is asked at most `max_calls` times at once, over all batches, and once at a time for each payment. A
    call without an answer is cancelled after `timeout` seconds, so that it makes room for others. Its outcome is
    unknown: ask again. The payment is the key of each call about it, so that all of them have one effect.
    """

    _work: ProviderWork[A]
    _max_calls: int = field(default=128, kw_only=True)
    _timeout: float = field(default=30.0, kw_only=True)
    _together: float = field(default=_TOGETHER, kw_only=True)
    # Told how each call goes.
    _one_call: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, kw_only=True)
    _permits: asyncio.Semaphore = field(init=False)
    _asked: dict[PaymentId, asyncio.Task[A]] = field(factory=dict, init=False)
    _record_late: Batched[Answered[A], None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._permits = asyncio.Semaphore(self._max_calls)
        # No call is shed: its money may have been taken already.
        self._record_late = Batched(self._work.record, longest_wait=inf)

    async def __call__(
        self, ids: Sequence[OrderId], request_ids: Mapping[OrderId, str] = _OF_NO_REQUEST
    ) -> Sequence[MaybeLate]:
        found = await self._work.due(set(ids), request_ids)
        due = {id_: order for id_, order in found.items() if isinstance(order, Order)}
        unknown = {id_: error for id_, error in found.items() if not isinstance(error, Order)}
        # No transaction is open during the calls to the provider. A crash before, during or after them is safe: the
        # next attempt uses the same key and gets the same answer.
        ask = until_unavailable(self._in_time)
        asked: dict[OrderId, asyncio.Task[A]] = {}
        try:
            for id_, order in due.items():
                asked[id_] = self._ask(order, ask, request_ids.get(id_))
            if asked:
                await asyncio.wait(asked.values(), timeout=self._together)
            done = {id_: (due[id_], task) for id_, task in asked.items() if task.done()}
            outcomes = await self._record(done, request_ids)
        except BaseException:
            # The batch will be repeated, and no call may run beside its repetition.
            await end(asked.values())
            raise
        late = {
            id_: asyncio.ensure_future(self._finish(due[id_], task, request_ids.get(id_)))
            for id_, task in asked.items()
            if id_ not in outcomes
        }
        return [(unknown | outcomes | late).get(id_) for id_ in ids]

    async def until_done(
        self, ids: Sequence[OrderId], request_ids: Mapping[OrderId, str] = _OF_NO_REQUEST
    ) -> list[WorkOutcome]:
        """The outcomes, when all have come."""
        outcomes = await self(ids, request_ids)
        return [await outcome if isinstance(outcome, asyncio.Future) else outcome for outcome in outcomes]

    def _ask(self, order: Order, ask: Callable[[Order], Awaitable[A]], request_id: str | None) -> asyncio.Task[A]:
        """The call that asks about this payment. A second delivery of its request joins the first."""
        key = order.payment
        if key not in self._asked:
            task = self._asked[key] = asyncio.get_running_loop().create_task(self._permitted(order, ask, request_id))
            task.add_done_callback(lambda _: self._asked.pop(key))
        return self._asked[key]

    async def _permitted(self, order: Order, ask: Callable[[Order], Awaitable[A]], request_id: str | None) -> A:
        # The batch is for many requests, and may be over by then.
        with _for_one(request_id):
            async with self._permits:
                return await ask(order)

    async def _in_time(self, order: Order) -> A:
        with self._one_call():
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._work.ask(order)
            except TimeoutError as error:
                raise OutcomeUnknown(
                    f"the payment provider gave no answer for payment {order.payment} within {self._timeout:g} s"
                ) from error

    async def _record(
        self, answered: Mapping[OrderId, tuple[Order, asyncio.Task[A]]], request_ids: Mapping[OrderId, str]
    ) -> dict[OrderId, WorkOutcome]:
        outcomes: dict[OrderId, WorkOutcome] = {}
        answers: dict[OrderId, Answered[A]] = {}
        for id_, (order, task) in answered.items():
            error = task.exception()
            if error is None:
                answers[id_] = Answered(order, task.result(), request_ids.get(id_))
            elif isinstance(error, Exception):
                outcomes[id_] = error
            else:
                raise error
        if answers:
            recorded = await each_alone(self._work.record, list(answers.values()))
            outcomes |= dict(zip(answers, recorded, strict=True))
        return outcomes

    async def _finish(self, order: Order, task: asyncio.Task[A], request_id: str | None) -> WorkOutcome:
        # The batch in which it began is over.
        with _for_one(request_id):
            try:
                await self._record_late(Answered(order, await task, request_id))
            except Exception as error:  # noqa: BLE001 - any error is the outcome of this order, and of no other
                return error
        return None


def _for_one(request_id: str | None) -> WorkingFor:
    return WorkingFor(() if request_id is None else (request_id,))
