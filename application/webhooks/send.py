import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from attrs import define, evolve, field

from application.errors import OutcomeUnknown, Trouble
from application.execution.batching import Batched
from application.execution.repeated_look import RepeatedLook
from application.ports.environment import Clock, Elapsed
from application.ports.persistence import Transaction, UnitOfWork
from application.ports.webhooks import Attempt, AttemptFailure, Told, WebhookMessages, WebhookTransport
from application.webhooks.endpoints import MOST_ENDPOINTS
from application.webhooks.planning import Sending
from application.webhooks.read_plans import plans
from application.webhooks.rounds import Ended, Round, is_gone
from domain.ids import EndpointId
from domain.webhooks.endpoint import InvalidEndpoint
from domain.webhooks.progress import Progress
from domain.webhooks.schedule import FAILURES_TO_PAUSE

# How many endpoints are served at once; and apart from these, how many of those that have failed lately.
_AT_ONCE: Final = 128
_SUSPECTS_AT_ONCE: Final = 64
# Seconds after which a round begins no more attempts. One attempt takes 15 s at most, and the lease is a minute.
_ROUND: Final = 10.0
# Milliseconds. A connection that is refused within this time is tried once more, at once.
_QUICKLY_MS: Final = 1000
_ATTEMPTS_TO_RECORD: Final = 5
_PAUSE: Final = 1.0
# Seconds that a sender waits for attempts when it is told to stop.
_LAST: Final = 3.0
# Seconds between two looks for something to do: another process may have given positions, or a time may have come. The
# second one is that of a shop without endpoints.
_LOOK_EVERY: Final = 0.5
_LOOK_SELDOM: Final = 5.0


@define(eq=False)
class SendWebhooks:
    """Send the events of the feed to the endpoints that want them, as soon as they have a position.

    An endpoint is served in rounds by one sender at a time, which has a lease on it. A round reads what is due and what
    is new, sends it, and records in one transaction what came of it: the deliveries, and how far the endpoint has got.
    A crash before that costs nothing but another attempt, under the same `webhook-id`.
    """

    _unit_of_work: UnitOfWork
    _transport: WebhookTransport
    _messages: WebhookMessages
    _now: Clock
    _elapsed: Elapsed
    _sender: str
    _finish: "Batched[Round, Ended]"
    _at_once: int = field(default=_AT_ONCE, kw_only=True)
    _suspects_at_once: int = field(default=_SUSPECTS_AT_ONCE, kw_only=True)
    # By the endpoint, in the sequence in which they began.
    _running: dict[EndpointId, asyncio.Task[Ended]] = field(factory=dict, init=False)
    _suspects: set[EndpointId] = field(factory=set, init=False)
    # They may be leased by this sender, which has begun no round of them.
    _doubtful: list[Progress] = field(factory=list, init=False)
    # For deliveries that are due, at each endpoint by itself.
    _looks: defaultdict[EndpointId, RepeatedLook] = field(factory=lambda: defaultdict(RepeatedLook), init=False)
    _ended: list[Ended] = field(factory=list, init=False)
    _woken: asyncio.Event = field(factory=asyncio.Event, init=False)
    _has_begun: bool = field(default=False, init=False)
    _has_endpoints: bool = field(default=False, init=False)
    _is_stopping: bool = field(default=False, init=False)

    @property
    def is_idle(self) -> bool:
        return not self._running

    def wake(self) -> None:
        """There are new positions."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait until there may be something to do."""
        try:
            async with asyncio.timeout(_LOOK_EVERY if self._has_endpoints else _LOOK_SELDOM):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def __call__(self) -> Sequence[Ended]:
        """Begin a round for each endpoint with something to do, as far as there is room.

        Return the rounds that have ended since the last call. Raise `Trouble`.
        """
        if not self._has_begun:
            # An earlier sender of this name has ended, and can't give back the endpoints that it has a lease on.
            async with self._unit_of_work() as tx:
                await tx.webhook_progress.release(by=self._sender)
            self._has_begun = True
        for begun in await self._begin():
            id_ = begun.plan.endpoint.id
            task = asyncio.create_task(self._serve(begun))
            self._running[id_] = task
            if begun.plan.progress.is_suspect:
                self._suspects.add(id_)
            task.add_done_callback(partial(self._note_ended, id_))
        ended, self._ended = self._ended, []
        return ended

    async def stop(self) -> None:
        """Begin no more attempts, and record what comes of those that end soon. The others are made once more."""
        self._is_stopping = True
        if running := list(self._running.values()):
            _, late = await asyncio.wait(running, timeout=_LAST)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        async with self._unit_of_work() as tx:
            await tx.webhook_progress.release(by=self._sender)

    def _note_ended(self, id_: EndpointId, done: "asyncio.Task[Ended]") -> None:
        self._running.pop(id_, None)
        self._suspects.discard(id_)
        if not done.cancelled():
            error = done.exception()
            if error is None:
                self._ended.append(done.result())
            elif isinstance(error, Exception):
                self._ended.append(Ended(id_, error=error))
        # There may be more to do for it.
        self.wake()

    async def _begin(self) -> list[Round]:
        rooms = {
            False: self._at_once - (len(self._running) - len(self._suspects)),
            True: self._suspects_at_once - len(self._suspects),
        }
        if self._is_stopping or not (self._doubtful or await self._anything_to_do(rooms)):
            return []
        taken: list[Progress] = []
        try:
            async with self._unit_of_work() as tx:
                await self._give_back(tx)
                now, newest = await tx.jobs.now(), (await tx.feed.bounds()).newest
                for suspect, room in rooms.items():
                    if room > 0:
                        taken += await tx.webhook_progress.waiting(
                            now, newest=newest, suspect=suspect, limit=room, lock=True
                        )
                for progress in taken:
                    progress.take(self._sender, at=now)
                await tx.webhook_progress.save_many(taken)
                begun, failed = await plans(tx, taken, now, self._looks)
        except OutcomeUnknown:
            self._doubtful += taken
            raise
        self._doubtful.clear()
        if len(self._looks) > MOST_ENDPOINTS:
            # Most are those of endpoints that were deleted.
            self._looks.clear()
        # Those that failed are tried again when their lease ends.
        self._ended += failed
        # A crash from here on is safe: the lease ends, and another sender begins the round anew.
        return [Round(made, self._sender, now) for made in begun]

    async def _give_back(self, tx: Transaction) -> None:
        """Take back a lease that the database may have written, although it did not answer."""
        found = await tx.webhook_progress.get_many({each.endpoint_id for each in self._doubtful}, lock=True)
        for each in self._doubtful:
            progress = found.get(each.endpoint_id)
            if progress is not None and each.served_at and progress.is_held(self._sender, each.served_at):
                progress.give_back()
        await tx.webhook_progress.save_many(list(found.values()))

    async def _anything_to_do(self, rooms: Mapping[bool, int]) -> bool:
        """Look without a lock: most looks find nothing."""
        async with self._unit_of_work.reading() as tx:
            self._has_endpoints = bool(await tx.webhook_progress.ids(after=None, limit=1))
            if not self._has_endpoints:
                return False
            now, newest = await tx.jobs.now(), (await tx.feed.bounds()).newest
            for suspect, room in rooms.items():
                if room > 0 and await tx.webhook_progress.waiting(now, newest=newest, suspect=suspect, limit=1):
                    return True
        return False

    async def _serve(self, begun: Round) -> Ended:
        progress = begun.plan.progress
        doubtful = progress.is_suspect or progress.is_on_probation
        places = asyncio.Semaphore(1 if doubtful else begun.plan.endpoint.max_concurrency)
        until = self._elapsed() + _ROUND
        sent = (self._send_line(begun, line, places, until) for line in begun.plan.lines)
        # No line outlives the round.
        for error in await asyncio.gather(*sent, return_exceptions=True):
            if error is not None:
                raise error
        for attempt in range(1, _ATTEMPTS_TO_RECORD + 1):
            try:
                return evolve(await self._finish(begun), error=begun.error)
            except Trouble as trouble:
                # What was sent and is not recorded would be sent once more. So a short outage is waited for.
                if attempt == _ATTEMPTS_TO_RECORD:
                    return Ended(begun.plan.endpoint.id, error=trouble)
                await asyncio.sleep(_PAUSE)
        raise AssertionError("unreachable")

    async def _send_line(self, begun: Round, line: Sequence[Sending], places: asyncio.Semaphore, until: float) -> None:
        for sending in line:
            async with places:
                if begun.is_closed or self._is_stopping or self._elapsed() >= until:
                    return
                made = begun.attempts[sending.delivery.id] = await self._attempt(begun, sending)
            if made[-1].failure is None:
                begun.failures = 0
                continue
            begun.failures += 1
            # Those that are on their way already may still arrive.
            begun.is_closed |= begun.plan.progress.failures + begun.failures >= FAILURES_TO_PAUSE or is_gone(made)
            return

    async def _attempt(self, begun: Round, sending: Sending) -> list[Attempt]:
        made: list[Attempt] = []
        while True:
            told = Told(
                position=sending.delivery.id.position,
                event=sending.event,
                attempt=sending.delivery.attempts + len(made) + 1,
                gap=sending.gap,
            )
            made.append(await self._attempt_once(begun, told))
            quickly = made[-1].failure is AttemptFailure.CONNECT and made[-1].duration_ms < _QUICKLY_MS
            if not quickly or len(made) > 1:
                return made

    async def _attempt_once(self, begun: Round, told: Told) -> Attempt:
        at, since = self._now(), self._elapsed()
        try:
            return await self._transport.send(self._messages.of_event(begun.plan.endpoint, told, at=at))
        except InvalidEndpoint:
            # The shop lacks the key to sign with: nothing can be sent.
            begun.is_closed = True
            raise
        except Exception as error:  # noqa: BLE001 - it ends this attempt and no other, and is logged
            begun.error = error
            spent = round((self._elapsed() - since) * 1000)
            return Attempt(at=at, duration_ms=spent, failure=AttemptFailure.UNEXPECTED)
