"""Receivers of webhooks and their deliveries: one suite for memory, SQLite and PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from attrs import evolve
from uuid_utils.compat import uuid7

from application.access.principal import SYSTEM
from application.errors import Aborted
from application.ports.persistence import UnitOfWork
from application.ports.webhook_store import DeliveryFilter
from application.ports.webhooks import Attempt, AttemptFailure
from application.webhooks.deliveries import ResendDelivery
from domain.errors import IllegalTransition
from domain.ids import MAX_ID, EndpointId, OrderId
from domain.moments import furthest
from domain.webhooks.delivery import Delivery, DeliveryId, DeliveryStatus, Undelivered
from domain.webhooks.endpoint import Disabled, Endpoint, Ordering, Payload, Secret, Signature
from domain.webhooks.progress import FAILURES_TO_SUSPECT, LEASE, LONGEST_PACE, Progress, begun_after
from domain.webhooks.schedule import LONGEST_PAUSE, LONGEST_REST
from tests.unit.builders import LATER, NOW

SECOND = timedelta(seconds=1)
ATTEMPT = Attempt(
    at=NOW,
    duration_ms=12,
    failure=AttemptFailure.STATUS,
    address="203.0.113.7",
    status=500,
    headers={"Content-Type": "text/plain", "X-Odd": "a\0b \udc80 \x85\u2028\r\n\x1c"},
    body=b"\0\xff not text",
)


def an_endpoint(**more: object) -> Endpoint:
    plain = Endpoint(
        id=EndpointId(uuid7()),
        url="https://receiver.example/webhooks",
        events=("order.*",),
        secrets=(Secret("whsec_new"), Secret("whsec_old", NOW)),
        created_at=NOW,
    )
    return evolve(plain, **more)


FULL = {
    "description": "Käthe's warehouse",
    "events": ("order.paid", "*"),
    "payload": Payload.THIN,
    "ordering": Ordering.BEST_EFFORT,
    "signature": Signature.V1A,
    "headers": {"X-Tenant": "1"},
    "rate_per_s": 5,
    "max_concurrency": 32,
    "version": 7,
    "disabled": Disabled.GONE,
    "disabled_at": NOW,
    "deleted_at": LATER,
}


def a_delivery(endpoint_id: EndpointId, position: int, **more: object) -> Delivery:
    plain = Delivery(
        id=DeliveryId(endpoint_id, position),
        order_id=OrderId(uuid7()),
        sequence=1,
        type="order.placed",
        at=NOW,
        next_at=NOW,
    )
    return evolve(plain, **more)


def delivered(endpoint_id: EndpointId, position: int, **more: object) -> Delivery:
    ended = {"status": DeliveryStatus.DELIVERED, "next_at": None, "finished_at": NOW}
    return a_delivery(endpoint_id, position, **ended, **more)


async def add(unit_of_work: UnitOfWork, *endpoints: Endpoint, **more: object) -> list[Progress]:
    progress = [evolve(begun_after(endpoint.id, 0), **more) for endpoint in endpoints]
    async with unit_of_work() as tx:
        await tx.webhook_endpoints.add_many(endpoints)
        await tx.webhook_progress.add_many(progress)
    return progress


async def add_deliveries(unit_of_work: UnitOfWork, *deliveries: Delivery) -> None:
    async with unit_of_work() as tx:
        await tx.webhook_deliveries.add_many(deliveries, {})


@pytest.mark.parametrize("more", [{}, FULL], ids=["plain", "full"])
async def test_an_endpoint_is_read_as_it_was_written_and_saved(
    unit_of_work: UnitOfWork, more: dict[str, object]
) -> None:
    endpoint, other = an_endpoint(**more), an_endpoint()
    await add(unit_of_work, endpoint, other)
    async with unit_of_work.reading() as tx:
        assert await tx.webhook_endpoints.get_many({endpoint.id, EndpointId(uuid7())}) == {endpoint.id: endpoint}
        assert await tx.webhook_endpoints.get_many(set()) == {}
    changed = evolve(endpoint, **FULL, url="https://other.example/", secrets=())
    async with unit_of_work() as tx:
        assert await tx.webhook_endpoints.get_many({endpoint.id}, lock=True) == {endpoint.id: endpoint}
        await tx.webhook_endpoints.save_many([changed])
    async with unit_of_work.reading() as tx:
        found = await tx.webhook_endpoints.get_many({endpoint.id, other.id})
    assert found == {endpoint.id: changed, other.id: other}


async def test_endpoints_are_paged_without_deleted_ones(unit_of_work: UnitOfWork) -> None:
    endpoints = sorted([an_endpoint() for _ in range(4)], key=lambda each: each.id)
    await add(unit_of_work, *endpoints[::-1], gone := an_endpoint(deleted_at=NOW))
    async with unit_of_work.reading() as tx:
        assert await tx.webhook_endpoints.page(after=None, limit=3) == endpoints[:3]
        assert await tx.webhook_endpoints.page(after=endpoints[2].id, limit=3) == endpoints[3:]
        every = sorted([*(each.id for each in endpoints), gone.id])
        assert await tx.webhook_progress.ids(after=None, limit=9) == every
        assert await tx.webhook_progress.ids(after=every[1], limit=2) == every[2:4]


async def test_endpoints_are_counted_by_one_at_a_time(unit_of_work: UnitOfWork) -> None:
    """Each sees what the one before it has added: two at once never add one too many."""

    async def add() -> int:
        async with unit_of_work() as tx:
            number = await tx.webhook_endpoints.count()
            await tx.webhook_endpoints.add_many([an_endpoint(), an_endpoint(deleted_at=LATER)])
            return number

    assert sorted(await asyncio.gather(*(add() for _ in range(4)))) == [0, 1, 2, 3]


async def test_progress_is_read_as_it_was_written_and_saved(unit_of_work: UnitOfWork) -> None:
    [progress] = await add(unit_of_work, an_endpoint())
    full = evolve(
        progress,
        position=9,
        skip_to=8,
        filtered=7,
        lost=6,
        removed=5,
        removed_to=4,
        chosen_after=3,
        chosen_by=2,
        due_at=NOW,
        rests_until=LATER,
        failures=11,
        rests=3,
        failing_since=NOW,
        paced_until=LATER,
        ready_at=NOW,
        is_troubled=True,
        served_at=NOW,
        served_by="sender",
        leased_until=LATER,
    )
    async with unit_of_work() as tx:
        assert await tx.webhook_progress.get_many({progress.endpoint_id}, lock=True) == {progress.endpoint_id: progress}
        await tx.webhook_progress.save_many([full])
    async with unit_of_work.reading() as tx:
        assert await tx.webhook_progress.get_many({progress.endpoint_id}) == {progress.endpoint_id: full}


async def waiting(
    unit_of_work: UnitOfWork, *, newest: int = 0, suspect: bool = False, limit: int = 9, lock: bool = False
) -> list[EndpointId]:
    async with unit_of_work() as tx:
        found = await tx.webhook_progress.waiting(NOW, newest=newest, suspect=suspect, limit=limit, lock=lock)
    return [progress.endpoint_id for progress in found]


# Whether an endpoint waits for a sender that is at position 5 like this.
IDLE = {"position": 5}
STATES: Sequence[tuple[dict[str, object], bool]] = (
    (IDLE, False),
    ({}, True),
    ({**IDLE, "due_at": NOW}, True),
    ({**IDLE, "due_at": NOW + SECOND}, False),
    ({**IDLE, "due_at": NOW + LONGEST_PAUSE + SECOND}, False),
    # A clock was wrong.
    ({**IDLE, "due_at": furthest(NOW, LONGEST_PAUSE) + SECOND}, True),
    ({"leased_until": NOW + SECOND}, False),
    ({"leased_until": NOW}, True),
    # Another sender took it after this one had read the clock.
    ({"leased_until": NOW + LEASE + SECOND}, False),
    ({"leased_until": furthest(NOW, LEASE) + SECOND}, True),
    ({"rests_until": NOW + SECOND}, False),
    ({"rests_until": NOW}, True),
    ({"rests_until": NOW + LONGEST_REST + SECOND}, False),
    ({"rests_until": furthest(NOW, LONGEST_REST) + SECOND}, True),
    ({"ready_at": NOW + SECOND}, False),
    ({"ready_at": NOW + LONGEST_PACE + SECOND}, False),
    ({"ready_at": furthest(NOW, LONGEST_PACE) + SECOND}, True),
)


@pytest.mark.parametrize("lock", [False, True])
async def test_an_endpoint_waits_for_a_sender(unit_of_work: UnitOfWork, *, lock: bool) -> None:
    expected = set()
    for more, waits in STATES:
        endpoint = an_endpoint()
        [progress] = await add(unit_of_work, endpoint, **more)
        assert progress.is_waiting(NOW, newest=5) is waits
        expected |= {endpoint.id} if waits else set()
    found = await waiting(unit_of_work, newest=5, limit=20, lock=lock)
    assert (len(found), set(found)) == (len(expected), expected)


async def test_an_endpoint_that_is_not_served_waits_for_nobody(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, an_endpoint(disabled=Disabled.BY_HAND, disabled_at=NOW), an_endpoint(deleted_at=NOW))
    assert await waiting(unit_of_work, newest=1) == []


async def test_who_was_served_longest_ago_comes_first_and_suspects_are_apart(unit_of_work: UnitOfWork) -> None:
    endpoints = [an_endpoint() for _ in range(4)]
    for endpoint, more in zip(
        endpoints,
        ({"served_at": LATER}, {"served_at": NOW}, {}, {"failures": FAILURES_TO_SUSPECT}),
        strict=True,
    ):
        await add(unit_of_work, endpoint, **more)
    ids = [endpoint.id for endpoint in endpoints]
    assert await waiting(unit_of_work, newest=1) == [ids[2], ids[1], ids[0]]
    assert await waiting(unit_of_work, newest=1, limit=1) == [ids[2]]
    assert await waiting(unit_of_work, newest=1, suspect=True) == [ids[3]]


async def test_a_sender_gives_back_all_that_it_has(unit_of_work: UnitOfWork) -> None:
    mine, others = an_endpoint(), an_endpoint()
    await add(unit_of_work, mine, served_by="me", leased_until=LATER)
    [kept] = await add(unit_of_work, others, served_by="another", leased_until=LATER)
    async with unit_of_work() as tx:
        await tx.webhook_progress.release(by="me")
    async with unit_of_work.reading() as tx:
        found = await tx.webhook_progress.get_many({mine.id, others.id})
    assert (found[mine.id].leased_until, found[others.id]) == (None, kept)


async def test_two_senders_never_take_the_same_endpoint(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, *(an_endpoint() for _ in range(10)))
    taken: list[EndpointId] = []

    async def take(by: str) -> None:
        while True:
            async with unit_of_work() as tx:
                found = await tx.webhook_progress.waiting(NOW, newest=1, suspect=False, limit=3, lock=True)
                await asyncio.sleep(0)
                for progress in found:
                    progress.take(by, at=NOW)
                await tx.webhook_progress.save_many(found)
            taken.extend(progress.endpoint_id for progress in found)
            if not found:
                return

    async with asyncio.timeout(60):
        await asyncio.gather(*(take(str(number)) for number in range(3)))
    assert len(taken) == len(set(taken)) == 10


async def read(unit_of_work: UnitOfWork, endpoint_id: EndpointId, *positions: int) -> dict[int, Delivery]:
    async with unit_of_work.reading() as tx:
        return await tx.webhook_deliveries.get_many(endpoint_id, positions)


async def test_a_delivery_is_read_as_it_was_written_and_saved_with_its_attempts(unit_of_work: UnitOfWork) -> None:
    endpoint_id = EndpointId(uuid7())
    delivery, other = a_delivery(endpoint_id, 1), delivered(endpoint_id, MAX_ID)
    async with unit_of_work() as tx:
        await tx.webhook_deliveries.add_many([delivery, other], {delivery.id: [ATTEMPT]})
    assert await read(unit_of_work, endpoint_id, 1, 2) == {1: delivery}
    assert await read(unit_of_work, endpoint_id) == {}
    changed = evolve(
        delivery,
        status=DeliveryStatus.EXHAUSTED,
        reason=Undelivered.REFUSED_ADDRESS,
        tries=10,
        attempts=12,
        outcome="refused_address",
        next_at=None,
        slow_from=NOW,
        finished_at=LATER,
    )
    nothing = Attempt(at=LATER, duration_ms=5, failure=AttemptFailure.DNS)
    async with unit_of_work() as tx:
        assert await tx.webhook_deliveries.get_many(endpoint_id, [1], lock=True) == {1: delivery}
        await tx.webhook_deliveries.save_many([changed], {changed.id: [nothing, nothing]})
    assert await read(unit_of_work, endpoint_id, 1, MAX_ID) == {1: changed, MAX_ID: other}
    async with unit_of_work.reading() as tx:
        first, *rest = await tx.webhook_deliveries.attempts(delivery.id)
        assert await tx.webhook_deliveries.attempts(other.id) == []
        assert await tx.webhook_deliveries.attempts(DeliveryId(endpoint_id, 5)) == []
    assert rest == [nothing, nothing]
    assert first == evolve(ATTEMPT, headers={"Content-Type": "text/plain", "X-Odd": "a\0b ? \x85\u2028\r\n\x1c"})


async def test_an_endpoint_has_one_delivery_at_a_position(unit_of_work: UnitOfWork) -> None:
    endpoint_id = EndpointId(uuid7())
    await add_deliveries(unit_of_work, kept := a_delivery(endpoint_id, 1))
    with pytest.raises(Aborted):
        await add_deliveries(unit_of_work, a_delivery(endpoint_id, 1))
    assert await read(unit_of_work, endpoint_id, 1) == {1: kept}


def positions(found: Sequence[Delivery]) -> list[int]:
    return [each.id.position for each in found]


async def test_what_is_due_is_found_the_longest_due_first(unit_of_work: UnitOfWork) -> None:
    endpoint_id = EndpointId(uuid7())
    await add_deliveries(
        unit_of_work,
        a_delivery(endpoint_id, 1, next_at=NOW),
        a_delivery(endpoint_id, 2, next_at=NOW - SECOND, status=DeliveryStatus.RETRYING),
        a_delivery(endpoint_id, 3, next_at=NOW + SECOND),
        a_delivery(endpoint_id, 4, next_at=furthest(NOW, LONGEST_PAUSE) + SECOND),
        delivered(endpoint_id, 5),
        a_delivery(EndpointId(uuid7()), 6),
    )
    async with unit_of_work.reading() as tx:
        assert positions(await tx.webhook_deliveries.due(endpoint_id, NOW, limit=9)) == [2, 1, 4]
        assert positions(await tx.webhook_deliveries.due(endpoint_id, NOW, limit=1)) == [2]
        assert await tx.webhook_deliveries.standing(endpoint_id) == (NOW - SECOND, True)
        # Somebody knows that none is due earlier. One that no clock can have set is due all the same.
        assert positions(await tx.webhook_deliveries.due(endpoint_id, NOW, since=NOW, limit=9)) == [1, 4]
        assert await tx.webhook_deliveries.standing(endpoint_id, since=NOW) == (NOW, True)


async def test_how_an_endpoint_stands(unit_of_work: UnitOfWork) -> None:
    well, ended = EndpointId(uuid7()), EndpointId(uuid7())
    skipped = delivered(ended, 1, reason=Undelivered.TYPE_DESELECTED)
    await add_deliveries(unit_of_work, delivered(well, 1), evolve(skipped, status=DeliveryStatus.SKIPPED))
    async with unit_of_work.reading() as tx:
        assert await tx.webhook_deliveries.standing(well) == (None, False)
        assert await tx.webhook_deliveries.standing(well, since=NOW) == (None, True)
        assert await tx.webhook_deliveries.standing(ended) == (None, True)


async def test_a_removal_goes_on_above_what_is_gone(unit_of_work: UnitOfWork) -> None:
    id_ = EndpointId(uuid7())
    await add_deliveries(unit_of_work, *(evolve(delivered(id_, position), finished_at=NOW) for position in (1, 2, 3)))
    async with unit_of_work() as tx:
        assert await tx.webhook_deliveries.remove(id_, LATER, after=1, limit=1) == (1, 2)
        assert await tx.webhook_deliveries.remove(id_, LATER, after=2, limit=9) == (1, 3)


async def test_all_that_is_open_is_skipped(unit_of_work: UnitOfWork) -> None:
    id_, other = EndpointId(uuid7()), EndpointId(uuid7())
    open_, done, beside = a_delivery(id_, 1), delivered(id_, 2), a_delivery(other, 3)
    await add_deliveries(unit_of_work, open_, done, beside)
    async with unit_of_work() as tx:
        await tx.webhook_deliveries.skip_open(id_, Undelivered.ENDPOINT_DELETED, at=LATER)
    open_.skip(Undelivered.ENDPOINT_DELETED, at=LATER)
    assert await read(unit_of_work, id_, 1, 2) == {1: open_, 2: done}
    assert await read(unit_of_work, other, 3) == {3: beside}


async def test_what_has_not_arrived_of_some_orders_is_found(unit_of_work: UnitOfWork) -> None:
    id_, order_id, other = EndpointId(uuid7()), OrderId(uuid7()), EndpointId(uuid7())
    of_one = {"order_id": order_id}
    await add_deliveries(
        unit_of_work,
        a_delivery(id_, 3, **of_one),
        delivered(id_, 1, **of_one),
        a_delivery(id_, 2, **of_one),
        a_delivery(id_, 4),
        a_delivery(other, 5, **of_one),
    )
    async with unit_of_work.reading() as tx:
        assert positions(await tx.webhook_deliveries.undelivered(id_, {order_id, OrderId(uuid7())})) == [2, 3]
        assert await tx.webhook_deliveries.undelivered(id_, set()) == []
        assert sorted(positions(await tx.webhook_deliveries.of_order(order_id, limit=9))) == [1, 2, 3, 5]
        assert len(await tx.webhook_deliveries.of_order(order_id, limit=2)) == 2


async def test_nothing_is_sent_again_to_an_endpoint_that_was_deleted_meanwhile(unit_of_work: UnitOfWork) -> None:
    endpoint = an_endpoint()
    await add(unit_of_work, endpoint)
    await add_deliveries(unit_of_work, done := delivered(endpoint.id, 1))
    async with unit_of_work() as tx:
        held = (await tx.webhook_endpoints.get_many({endpoint.id}, lock=True))[endpoint.id]
        await tx.webhook_progress.get_many({endpoint.id}, lock=True)
        again = asyncio.create_task(ResendDelivery(unit_of_work, lambda: NOW)(SYSTEM, done.id))
        # It can't end before this transaction has. It gets time to read what it reads without a lock.
        await asyncio.wait({again}, timeout=0.5)
        held.delete(at=NOW)
        await tx.webhook_endpoints.save_many([held])
    with pytest.raises(IllegalTransition, match="deleted"):
        await again
    assert await read(unit_of_work, endpoint.id, 1) == {1: done}


async def test_deliveries_are_paged_by_what_is_wanted(unit_of_work: UnitOfWork) -> None:
    low, high = sorted([EndpointId(uuid7()), EndpointId(uuid7())])
    order_id = OrderId(uuid7())
    refused = {"reason": Undelivered.REFUSED_ADDRESS, "status": DeliveryStatus.RETRYING}
    await add_deliveries(
        unit_of_work,
        delivered(low, 1, order_id=order_id),
        a_delivery(low, 2, **refused),
        delivered(low, 3, type="order.paid"),
        a_delivery(high, 1, order_id=order_id),
        delivered(high, 2),
    )

    async def page(before: DeliveryId | None = None, limit: int = 9, **only: object) -> list[tuple[bool, int]]:
        async with unit_of_work.reading() as tx:
            found = await tx.webhook_deliveries.page(evolve(DeliveryFilter(), **only), before=before, limit=limit)
        return [(each.id.endpoint_id == low, each.id.position) for each in found]

    assert await page() == [(False, 2), (False, 1), (True, 3), (True, 2), (True, 1)]
    assert await page(limit=2) == [(False, 2), (False, 1)]
    assert await page(DeliveryId(high, 1), limit=2) == [(True, 3), (True, 2)]
    assert await page(undelivered=True) == [(False, 1), (True, 2)]
    assert await page(undelivered=True, reason=Undelivered.REFUSED_ADDRESS) == [(True, 2)]
    assert await page(endpoint_id=low, status=DeliveryStatus.DELIVERED) == [(True, 3), (True, 1)]
    assert await page(endpoint_id=low, status=DeliveryStatus.RETRYING) == [(True, 2)]
    assert await page(DeliveryId(low, 3), endpoint_id=low) == [(True, 2), (True, 1)]
    assert await page(endpoint_id=low, type="order.paid") == [(True, 3)]
    assert await page(order_id=order_id) == [(False, 1), (True, 1)]


async def test_deliveries_are_counted(unit_of_work: UnitOfWork) -> None:
    id_ = EndpointId(uuid7())
    await add_deliveries(
        unit_of_work, delivered(id_, 1), delivered(id_, 2), a_delivery(id_, 3), delivered(EndpointId(uuid7()), 2)
    )
    async with unit_of_work.reading() as tx:
        count = tx.webhook_deliveries.count
        assert await count(id_, after=0, until=9) == 3
        assert await count(id_, after=1, until=3, delivered=True) == 1
        assert await count(id_, after=0, until=9, delivered=False) == 1
        assert await count(id_, after=0, until=2, delivered=False) == 0


@pytest.mark.parametrize(
    ("ends", "limit", "removed"),
    [
        ([NOW, NOW, NOW], 9, (3, 3)),
        ([NOW, NOW, NOW], 2, (2, 2)),
        ([NOW, LATER, NOW], 9, (1, 1)),
        ([NOW, None, NOW], 9, (1, 1)),
        ([LATER, NOW, NOW], 9, (0, 0)),
        ([], 9, (0, 0)),
    ],
)
async def test_old_ones_are_removed_up_to_one_that_is_not_old(
    unit_of_work: UnitOfWork, ends: list[datetime | None], limit: int, removed: tuple[int, int]
) -> None:
    id_ = EndpointId(uuid7())
    for position, end in enumerate(ends, 1):
        made = a_delivery(id_, position) if end is None else evolve(delivered(id_, position), finished_at=end)
        await add_deliveries(unit_of_work, made)
    async with unit_of_work() as tx:
        assert await tx.webhook_deliveries.remove(id_, LATER, after=0, limit=limit) == removed
    left = await read(unit_of_work, id_, 1, 2, 3)
    assert sorted(left) == list(range(removed[0] + 1, len(ends) + 1))
