from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from attrs import define, evolve, field, frozen

from application.access.principal import SYSTEM
from application.ports.audit import AuditEntry, Caller
from application.ports.persistence import Transaction, UnitOfWork
from application.ports.webhooks import Attempt, AttemptFailure
from application.webhooks.planning import LOOK_AT_ALL, Sending
from application.webhooks.rounds import Ended, Round, is_gone
from domain.ids import OrderId
from domain.webhooks.delivery import Delivery, DeliveryId, Undelivered
from domain.webhooks.endpoint import Disabled, Endpoint
from domain.webhooks.progress import Progress


@frozen
class FinishRounds:
    """Record what came of rounds, all in one transaction: the deliveries, and how far their endpoints have got.

    A sender that has lost its lease records nothing: another one has begun the same round anew.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, rounds: Sequence[Round]) -> Sequence[Ended]:
        async with self._unit_of_work() as tx:
            now = await tx.jobs.now()
            # Endpoints are locked before their progress, wherever both are.
            in_doubt = {each.plan.endpoint.id for each in rounds if _may_be_disabled(each)}
            locked = await tx.webhook_endpoints.get_many(in_doubt, lock=True)
            ids = {each.plan.endpoint.id for each in rounds}
            progress = await tx.webhook_progress.get_many(ids, lock=True)
            endpoints = {**await tx.webhook_endpoints.get_many(ids), **locked}
            held = {
                id_: _Finishing(tx, each, endpoints[id_], progress[id_], now)
                for each in rounds
                if (id_ := each.plan.endpoint.id) in progress and progress[id_].is_held(each.by, each.taken_at)
            }
            await _record(tx, list(held.values()))
            ended = [await held[id_].end() if (id_ := each.plan.endpoint.id) in held else Ended(id_) for each in rounds]
            await tx.webhook_progress.save_many(list(progress.values()))
            await tx.webhook_endpoints.save_many(list(locked.values()))
        return ended


def _may_be_disabled(round_: Round) -> bool:
    """Whether its endpoint may have to be disabled, and so is locked."""
    made = [attempts for attempts in round_.attempts.values() if attempts[-1].failure is not None]
    return any(map(is_gone, made)) or (bool(made) and round_.plan.progress.failing_since is not None)


async def _record(tx: Transaction, finishing: "Sequence[_Finishing]") -> None:
    """Write the deliveries of all rounds with one statement for the new ones and one for the others."""
    attempts: dict[DeliveryId, list[Attempt]] = {}
    for each in finishing:
        await each.conclude()
        attempts |= each.attempts
    await tx.webhook_deliveries.add_many([delivery for each in finishing for delivery in each.new], attempts)
    for each in finishing:
        await each.release()
    await tx.webhook_deliveries.save_many([delivery for each in finishing for delivery in each.changed], attempts)


@define(eq=False)
class _Finishing:
    """What comes of one round."""

    _tx: Transaction
    _round: Round
    _endpoint: Endpoint
    _progress: Progress
    _now: datetime
    new: list[Delivery] = field(factory=list, init=False)
    changed: list[Delivery] = field(factory=list, init=False)
    attempts: dict[DeliveryId, list[Attempt]] = field(init=False)
    # The orders whose later events need not wait any more.
    _freed: set[OrderId] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        # The round stays as it is: the transaction may have to be repeated.
        self.attempts = dict(self._round.attempts)

    async def conclude(self) -> None:
        """Decide what is to be written."""
        made, progress = self._round.plan, self._progress
        stored = await self._stored()
        for delivery, is_new in made.aside:
            # What a person has decided about it meanwhile counts.
            if is_new or _is_as_it_was(stored.get(delivery.id.position), delivery):
                self._keep(evolve(delivery), is_new=is_new)
                if not is_new and not delivery.is_open:
                    self._freed.add(delivery.order_id)
        for line in made.lines:
            self._end_line(line, stored)
        self._count_answers()
        if self._endpoint.deleted_at is not None:
            for delivery in [*self.new, *self.changed]:
                if delivery.is_open:
                    delivery.skip(Undelivered.ENDPOINT_DELETED, at=self._now)
        progress.move_to(made.position, filtered=made.filtered, lost=made.lost, version=made.endpoint.version)
        progress.pace(self._round.begun, made.endpoint.rate_per_s, at=self._now)

    async def end(self) -> Ended:
        """Let the endpoint go on, now that its deliveries are written."""
        await self._stand()
        disabled = await self._disable()
        self._progress.give_back()
        delivered = sum(made[-1].failure is None for made in self.attempts.values())
        return Ended(self._endpoint.id, delivered, len(self.attempts) - delivered, disabled)

    async def _stored(self) -> dict[int, Delivery]:
        made = self._round.plan
        old = [each.delivery for line in made.lines for each in line if not each.is_new]
        old += [delivery for delivery, is_new in made.aside if not is_new]
        if not old:
            return {}
        positions = {delivery.id.position for delivery in old}
        return await self._tx.webhook_deliveries.get_many(self._endpoint.id, positions, lock=True)

    def _end_line(self, line: Sequence[Sending], stored: Mapping[int, Delivery]) -> None:
        waits_until: datetime | None = None
        for sending in line:
            delivery = evolve(sending.delivery) if sending.is_new else stored.get(sending.delivery.id.position)
            if delivery is None or not delivery.is_open:
                # A person has skipped it meanwhile. The attempts at it are not recorded.
                self.attempts.pop(sending.delivery.id, None)
                continue
            made = self.attempts.get(delivery.id)
            if made is not None:
                waits_until = self._answer(delivery, made)
                if waits_until is None and not sending.is_new:
                    self._freed.add(delivery.order_id)
            elif waits_until is not None:
                delivery.hold(until=waits_until)
            elif not sending.is_new:
                continue
            self._keep(delivery, is_new=sending.is_new)

    def _answer(self, delivery: Delivery, made: Sequence[Attempt]) -> datetime | None:
        """Return until when the later events of the order wait for this one, if they do."""
        last, count = made[-1], len(made)
        if last.failure is None:
            delivery.succeed(_outcome(last), made=count, at=self._now)
            return None
        delivery.fail(
            _outcome(last),
            made=count,
            at=self._now,
            refused_address=last.failure is AttemptFailure.REFUSED_ADDRESS,
            retry_after=_retry_after(last),
        )
        holds_up = self._round.plan.is_strict and delivery.is_open and not delivery.is_slow(self._now)
        return delivery.slow_from if holds_up else None

    def _keep(self, delivery: Delivery, *, is_new: bool) -> None:
        (self.new if is_new else self.changed).append(delivery)

    @property
    def _has_moved(self) -> bool:
        """Whether the endpoint was changed meanwhile, so that the round tells nothing about it as it is now."""
        return not self._endpoint.is_asked_like(self._round.plan.endpoint)

    def _count_answers(self) -> None:
        if self._has_moved:
            return
        for last in sorted((made[-1] for made in self._round.attempts.values()), key=lambda attempt: attempt.at):
            if last.failure is None:
                self._progress.succeed()
            else:
                self._progress.fail(at=self._now)

    async def release(self) -> None:
        """Let the deliveries go on that wait for one that is out of the way now."""
        if not self._freed:
            return
        known = {delivery.id for delivery in self.changed}
        for delivery in await self._tx.webhook_deliveries.undelivered(self._endpoint.id, self._freed):
            if delivery.is_open and delivery.reason is Undelivered.HELD_BEHIND and delivery.id not in known:
                delivery.release(at=self._now)
                self.changed.append(delivery)

    async def _stand(self) -> None:
        progress, kept = self._progress, [*self.new, *self.changed]
        if progress.is_troubled or any(each.finished_at is None or each.reason is not None for each in kept):
            since = self._round.plan.nothing_before
            due_at, is_troubled = await self._tx.webhook_deliveries.standing(self._endpoint.id, since=since)
            if due_at is None and since is not None:
                # A round that looks at all of them makes sure.
                due_at = self._now + LOOK_AT_ALL
            progress.stand(due_at, is_troubled=is_troubled)

    async def _disable(self) -> Disabled | None:
        endpoint = self._endpoint
        if not endpoint.is_served or self._has_moved:
            return None
        why = None
        if any(map(is_gone, self._round.attempts.values())):
            why = Disabled.GONE
        elif self._progress.has_failed_for_too_long(self._now):
            why = Disabled.FAILING
        if why is not None:
            endpoint.disable(why, at=self._now)
            entry = AuditEntry(
                at=self._now,
                by=Caller(SYSTEM.key_id),
                action="webhook_endpoint.disabled",
                subject=f"webhook_endpoint {endpoint.id}",
                after={"disabled": why.value, "position": self._progress.position},
            )
            await self._tx.audit.add_many([entry])
        return why


def _is_as_it_was(stored: Delivery | None, planned: Delivery) -> bool:
    return stored is not None and stored.is_open and stored.tries == planned.tries


def _outcome(attempt: Attempt) -> str:
    if attempt.failure is None or attempt.failure is AttemptFailure.STATUS:
        return f"status {attempt.status}"
    return attempt.failure.value


def _retry_after(attempt: Attempt) -> timedelta | None:
    """What the receiver asks for, in seconds or as a date (RFC 9110, section 10.2.3)."""
    text = next((value for name, value in attempt.headers.items() if name.lower() == "retry-after"), "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:10]), 10**6))
    try:
        return max(parsedate_to_datetime(text) - attempt.at, timedelta(0))
    except (TypeError, ValueError, OverflowError):
        # It is missing, or can't be read.
        return None
